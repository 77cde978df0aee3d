"""What the catalog remembers: versions, traces, heads, runs, attempts. Frozen rows; times are UTC seconds."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from assetflow.model.code import CodeNote
from assetflow.model.keys import UNPARTITIONED, AssetKey, slot


class Version(Struct, frozen=True):
    """An immutable stored value of an asset partition; people write it `orders@3`.

    `schema` maps column names, in order, to type names; `columns` to the digest of each column's content. `location`
    is relative to the storage folder and means something to the IO manager `io` alone; a source's version has none.
    `details` is what the IO manager needs to read the value back exactly (JSON-able).
    """

    version_id: int
    asset: AssetKey
    partition: str
    number: int
    data_hash: str
    io: str
    location: str
    rows: int | None
    size_bytes: int | None
    schema: Mapping[str, str]
    columns: Mapping[str, str]
    details: Mapping[str, object]
    created_at: float
    state: str = "live"

    @property
    def slot(self) -> AssetKey:
        """The asset, or the partition of it: `orders[2026-01-05]`."""
        return slot(self.asset, self.partition)

    @property
    def name(self) -> str:
        """`orders@3`, or `orders[2026-01-05]@3`."""
        return f"{self.slot}@{self.number}"


class TraceInput(Struct, frozen=True):
    """What a trace read: `version_number` of `upstream` by `parameter`; `digest` is the part of it that mattered.

    An upstream with partitions is named with the one that was read: `orders[2026-01-05]`.
    """

    parameter: str
    upstream: AssetKey
    mode: str
    digest: str
    version_number: int | None


class Discovered(Struct, frozen=True):
    """What was seen of a run beside what its definition says: the digest of each file that it opened, by its path.

    Paths are relative to the project's root, with slashes. `files` were read as data, `code` are modules of the project
    that ran and that the definition does not reach. `ABSENT` stands for a file that was not there, and `UNKNOWN` for
    one that changed while the function ran, so that nothing equals what was read.
    """

    files: Mapping[str, str] = field(default_factory=dict[str, str])
    code: Mapping[str, str] = field(default_factory=dict[str, str])

    def __bool__(self) -> bool:
        """Whether anything was seen."""
        return bool(self.files or self.code)

    def to_json(self) -> dict[str, dict[str, str]]:
        """What was seen as JSON-able values, in one order, without what is empty."""
        found = {"files": self.files, "code": self.code}
        return {name: dict(sorted(one.items())) for name, one in found.items() if one}

    @classmethod
    def from_json(cls, found: Mapping[str, Mapping[str, str]]) -> Discovered:
        """What `to_json` gave."""
        return cls(dict(found.get("files", {})), dict(found.get("code", {}))) if found else NOTHING_DISCOVERED


ABSENT, UNKNOWN = "absent", "unknown"
NOTHING_DISCOVERED = Discovered()


class Trace(Struct, frozen=True):
    """The fact that a definition, applied to these inputs, gave this version. Never changed once written.

    kind: `run` computed it, `link` found it again, `observe` saw a source, `accept` was told so, `alias` says that the
    definition has another fingerprint and the same meaning. Beside the code fingerprint (of the scheme `scheme`) there
    is all else that the definition was made of; see `AssetSpec`.
    """

    trace_id: int
    asset: AssetKey
    partition: str
    input_key: str
    code: str
    code_parts: Mapping[str, str]
    config: Mapping[str, str]
    inputs: tuple[TraceInput, ...]
    version_id: int
    version_number: int
    data_hash: str
    run_id: int | None
    kind: str
    started_at: float
    finished_at: float
    as_of: float | None
    metadata: Mapping[str, object]
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    env_vars: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[CodeNote, ...] = ()
    scheme: str = ""
    code_version: str | None = None
    discovered: Discovered = NOTHING_DISCOVERED


class Head(Struct, frozen=True):
    """What is current in an environment: the trace, its version, and since when (`seq` counts commits).

    `cause` says what moved it there when that was not a run; only moves in the history have one.
    """

    env: str
    trace: Trace
    version: Version
    seq: int
    changed_seq: int
    verified_at: float
    cause: str = ""


class Doubt(Struct, frozen=True):
    """What was said of the traces of an asset partition in an environment.

    Traces up to the number `trace_id` do not count since somebody invalidated what there was; those of `revoked`, which
    had been accepted, do not since that was taken back.
    """

    trace_id: int = 0
    cause: str = ""
    user: str = ""
    at: float = 0.0
    revoked: frozenset[int] = frozenset()

    def counts(self, trace: Trace) -> bool:
        """Whether the trace may stand for a computation."""
        return trace.trace_id > self.trace_id and trace.trace_id not in self.revoked

    @property
    def words(self) -> str:
        """`invalidated by ann: the feed was wrong`."""
        what, colon, reason = self.cause.partition(": ")
        return f"{what} by {self.user}{colon}{reason}" if what else "what was accepted has been revoked"


class Pin(Struct, frozen=True):
    """A head that runs leave alone: since when, by whom, and why (`rollback to v3`, or `pin` with a reason)."""

    asset: AssetKey
    partition: str
    cause: str
    user: str
    pinned_at: float

    @property
    def words(self) -> str:
        """`pinned by rollback to v3`, `pinned by ann: wait for the audit`."""
        what, colon, reason = self.cause.partition(": ")
        return f"pinned by {self.user if what == 'pin' else what}{colon}{reason}"

    def to_json(self) -> dict[str, object]:
        """The pin as JSON-able values."""
        return {"cause": self.cause, "user": self.user, "pinned_at": self.pinned_at}


class CheckOutcome(Struct, frozen=True):
    """One check of one attempt."""

    name: str
    passed: bool
    blocking: bool
    message: str = ""


class SpanTime(Struct, frozen=True):
    """A timed part of a function (`context.step`): `path` is `outer/inner`; `failed` of `count` times it raised."""

    path: str
    seconds: float
    count: int = 1
    failed: int = 0


class Attempt(Struct, frozen=True):
    """One try at one asset partition within a run.

    state: running, materialized, unchanged, linked, cut_off, skipped, failed, blocked, rejected (by a
    check), died.
    `error` has type, message, file, line, text (rendered traceback), and fix; `seconds` the parts load, compute, check,
    write, commit; `reasons` are `Reason` values as JSON. `wait_s` is the time from when it could have started until it
    did. `peak_memory_bytes` is None where it cannot be told apart from that of the rest of the process. `definition`
    is a digest of the code and config that were tried, empty where that was not recorded.
    """

    run_id: int
    asset: AssetKey
    partition: str
    number: int
    state: str
    started_at: float | None
    finished_at: float | None
    version_number: int | None = None
    reasons: tuple[Mapping[str, object], ...] = ()
    error: Mapping[str, object] | None = None
    checks: tuple[CheckOutcome, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    blocked_by: tuple[AssetKey, ...] = ()
    wait_s: float | None = None
    peak_memory_bytes: int | None = None
    spans: tuple[SpanTime, ...] = ()
    definition: str = ""


class Run(Struct, frozen=True):
    """One `materialize`. state: running, ok, failed, cancelled, died. `counts` has a number for each attempt state."""

    run_id: int
    env: str
    state: str
    trigger: str
    selection: str
    started_at: float
    finished_at: float | None
    user: str
    host: str
    pid: int
    counts: Mapping[str, int]


class VersionUse(Struct, frozen=True):
    """A stored version and what needs it. `made_from` are version ids; `needed_at` is when it was made or last current.

    `is_current`: a head of some environment is on it, or a pin.
    """

    version_id: int
    asset: AssetKey
    partition: str
    number: int
    size_bytes: int
    state: str
    needed_at: float
    is_current: bool
    made_from: tuple[int, ...]


class NewVersion(Struct, frozen=True):
    """A version about to be committed, without the numbers that the catalog gives it."""

    data_hash: str
    io: str
    location: str
    rows: int | None
    size_bytes: int | None
    schema: Mapping[str, str]
    columns: Mapping[str, str]
    details: Mapping[str, object]


class NewTrace(Struct, frozen=True):
    """A trace about to be committed. `reuse_version_id` points at a version that exists; else `version` is stored.

    `is_anew`: also when the current version has the same content, because its bytes could not be read.
    `cause` says what moves the head when that is not a run.
    """

    asset: AssetKey
    input_key: str
    code: str
    code_parts: Mapping[str, str]
    config: Mapping[str, str]
    inputs: tuple[TraceInput, ...]
    kind: str
    started_at: float
    finished_at: float
    as_of: float | None
    metadata: Mapping[str, object]
    version: NewVersion | None
    reuse_version_id: int | None
    seen_trace_id: int | None
    partition: str = UNPARTITIONED
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    env_vars: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[CodeNote, ...] = ()
    scheme: str = ""
    code_version: str | None = None
    cause: str = ""
    is_anew: bool = False
    discovered: Discovered = NOTHING_DISCOVERED
