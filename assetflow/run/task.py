"""What the coordinator hands to a worker and gets back: plain values, no connections, no frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from assetflow.io.handover import OnFile
from assetflow.io.publishing import Prepared
from assetflow.model.code import CodeNote, note_to_json
from assetflow.model.keys import AssetKey
from assetflow.model.records import NOTHING_DISCOVERED, CheckOutcome, Discovered, NewVersion, TraceInput, Version
from assetflow.model.spec import AssetSpec
from assetflow.run.ahead import Permit
from assetflow.run.outcome import StepError, inputs_words

if TYPE_CHECKING:
    from assetflow.io.sources import FileState, Observation


class Origin(Struct, frozen=True):
    """What an output is a function of, as its trace will record it. `as_of` is the time of the oldest data it reads."""

    input_key: str
    code: str
    code_parts: Mapping[str, str]
    config: Mapping[str, str]
    inputs: tuple[TraceInput, ...]
    as_of: float | None
    packages: Mapping[str, str]
    files: Mapping[str, str]
    env_vars: Mapping[str, str]
    notes: tuple[CodeNote, ...]
    scheme: str
    code_version: str | None

    def to_json(self) -> dict[str, object]:
        """The origin as the sidecar of a version holds it."""
        return {
            "input_key": self.input_key,
            "code": self.code,
            "code_parts": dict(self.code_parts),
            "config": dict(self.config),
            "inputs": [
                {"parameter": one.parameter, "upstream": one.upstream, "mode": one.mode, "digest": one.digest,
                 "number": one.version_number}
                for one in self.inputs
            ],
            "packages": dict(self.packages), "files": dict(self.files), "env_vars": dict(self.env_vars),
            "notes": [note_to_json(note) for note in self.notes], "scheme": self.scheme,
            "code_version": self.code_version,
        }  # fmt: skip


class Task(Struct, frozen=True):
    """One call of one function. `versions` and `observations` are what it reads, pinned by the coordinator.

    `present_hashes` are the data hashes of the outputs' current versions: content that equals them is not stored again.
    `suspects` are current versions that were asked to be made again: their stored bytes are looked at before they are
    kept. `origins` say of each output what it is made of. With a `permit` it is started ahead: see `run.ahead`.
    `rejected` are versions by data hash that checks refused: the same content is not kept twice. In another process
    inputs are `on_files` by the location of their versions, and so are outputs that are `wanted` left. `slots` are the
    specs of outputs that are partitions, or are made of some, and of partitions of sources that they read: another
    process knows the assets alone.
    """

    node: str
    run_id: int
    env: str
    attempt: int
    versions: Mapping[AssetKey, Version]
    observations: Mapping[AssetKey, Observation]
    present_hashes: Mapping[AssetKey, str]
    suspects: Mapping[AssetKey, Version]
    origins: Mapping[AssetKey, Origin]
    log_file: Path
    permit: Permit | None = None
    on_files: Mapping[str, OnFile] = field(default_factory=dict[str, OnFile])
    wanted: frozenset[AssetKey] = frozenset()
    rejected: Mapping[AssetKey, Mapping[str, Version]] = field(default_factory=dict[AssetKey, Mapping[str, Version]])
    slots: tuple[AssetSpec, ...] = ()
    is_put_off: bool = False
    """Whether small outputs are only prepared: who takes the result publishes them, together with others."""

    @property
    def input_rows(self) -> dict[AssetKey, int]:
        """The rows of what is read, of each version that is a table."""
        return {key: found.rows for key, found in self.versions.items() if found.rows is not None}

    @property
    def inputs_text(self) -> str:
        """What is read, one a line, for the log of a failure."""
        inputs = {(one.parameter, one.upstream): one for origin in self.origins.values() for one in origin.inputs}
        return "".join([f"input  {words}\n" for words in inputs_words(inputs.values(), self.input_rows)])


class Made(Struct, frozen=True):
    """One output of a call. `version` is None when the content equals the current version's.

    With an `error` a check refused it: then `version` is kept to be looked at, or `rejected` is the number of one that
    has the same content.

    `is_unread`: it is stored anew because the disk did not give the bytes of the current version, which may be well.
    """

    data_hash: str = ""
    version: NewVersion | None = None
    rows: int | None = None
    size_bytes: int | None = None
    checks: tuple[CheckOutcome, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    as_of: float | None = None
    error: StepError | None = None
    is_unread: bool = False
    rejected: int | None = None
    prepared: Prepared | None = None
    """What is to be published before `version` is there."""


class NodeResult(Struct, frozen=True):
    """What one call gave: `outputs`, or an error for all of them, or the reason of a skip.

    `is_denied`: it was started ahead on what did not come to be, and must be thought about anew.
    `discovered` is what its function was seen to open; `files` are states of those that had to be read for that.
    `peak_memory_bytes` is the largest resident set of a process that did nothing else; None in one that did.
    """

    task: Task
    started_at: float
    finished_at: float
    seconds: Mapping[str, float]
    outputs: Mapping[AssetKey, Made] = field(default_factory=dict[AssetKey, Made])
    error: StepError | None = None
    is_retryable: bool = False
    skipped: str | None = None
    is_denied: bool = False
    discovered: Discovered = NOTHING_DISCOVERED
    files: tuple[FileState, ...] = ()
    peak_memory_bytes: int | None = None
    on_files: Mapping[AssetKey, OnFile] = field(default_factory=dict[AssetKey, OnFile])
