"""What a run reads, pinned: the heads as the run has moved them, and the tasks that are made from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.fingerprint.hashing import SCHEME
from assetflow.io.handover import FORMS
from assetflow.load.live import Loaded
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import Head, TraceInput, Version
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import World, source_content
from assetflow.plan.staleness import Content, digest_of, input_key
from assetflow.run.ahead import Started
from assetflow.run.steplog import log_path
from assetflow.run.task import Origin, Task

if TYPE_CHECKING:
    from assetflow.io.sources import Observation

NOTHING: Mapping[AssetKey, Version] = {}


class Pinned:
    """The heads that a run began with and moved since, and what follows from them for one asset.

    Only the coordinator changes `heads`; a task is given what was there when it was made.
    """

    def __init__(
        self,
        world: World,
        loaded: Loaded,
        observations: Mapping[AssetKey, Observation],
        forced: frozenset[AssetKey],
        log_folder: Path,
    ) -> None:
        self._world, self._loaded = world, loaded
        self._observations, self._forced, self._log_folder = observations, forced, log_folder
        self._rejected: dict[AssetKey, dict[str, Version]] = {}
        self.heads: dict[AssetKey, Head] = {slot(*names): head for names, head in world.heads.items()}

    def reject(self, versions: Iterable[Version]) -> None:
        """Remember versions that checks refused, so that the same content is not kept twice."""
        for version in versions:
            self._rejected.setdefault(slot(version.asset, version.partition), {})[version.data_hash] = version

    def contents(self, spec: AssetSpec, ahead: Mapping[AssetKey, Version] = NOTHING) -> dict[AssetKey, Content | None]:
        """The content of each input now; None where there is none yet. `ahead` are versions that are yet to come."""
        contents: dict[AssetKey, Content | None] = {}
        for given in spec.inputs:
            head = self.heads.get(given.upstream)
            if self._world.graph.specs[given.upstream].is_source:
                contents[given.upstream] = source_content(self._world.sources[given.upstream], head)
            elif given.upstream in ahead:
                contents[given.upstream] = replace(Content.of(ahead[given.upstream]), number=None)
            else:
                contents[given.upstream] = None if head is None else Content.of(head.version)
        return contents

    def read(self, spec: AssetSpec) -> tuple[TraceInput, ...]:
        """The inputs as the trace of the asset records them."""
        contents = self.contents(spec)
        found: list[TraceInput] = []
        for one in spec.inputs:
            content = contents[one.upstream]
            if content is not None:
                number = content.number
                if number is None and one.upstream in self.heads:
                    number = self.heads[one.upstream].version.number
                found.append(TraceInput(one.parameter, one.upstream, one.mode, digest_of(one, content), number))
        return tuple(found)

    def seen(self, key: AssetKey) -> int | None:
        """The trace that is the head now: a commit only moves a head that is still there."""
        head = self.heads.get(key)
        return None if head is None else head.trace.trace_id

    def task(
        self, name: str, keys: Sequence[AssetKey], *, run_id: int, env: str, attempt: int, started: Started | None,
        is_put_off: bool,
    ) -> Task:  # fmt: skip
        """The call of the function `name` for these of its outputs, on what is pinned now; `started` says what else."""
        ahead = NOTHING if started is None else started.versions
        specs, heads = self._world.graph.specs, self.heads
        upstreams = {one.upstream for key in keys for one in specs[key].inputs}
        sources = {up for up in upstreams if specs[up].is_source}
        checked = set(self._loaded.nodes[name].checked_against())
        whole = [key for key in keys if key in heads and key not in self._world.lost]
        return Task(
            node=name,
            run_id=run_id,
            env=env,
            attempt=attempt,
            versions={**{up: heads[up].version for up in (upstreams | checked) - sources if up in heads}, **ahead},
            observations={up: self._observations[up] for up in sources},
            present_hashes={key: heads[key].version.data_hash for key in whole},
            suspects={key: heads[key].version for key in whole if key in self._forced},
            origins={} if ahead else self.origins(keys),
            permit=None if started is None else started.permit,
            log_file=log_path(self._log_folder, run_id, name, attempt),
            rejected={key: self._rejected[key] for key in keys if key in self._rejected},
            slots=self._slots(keys, sources) if _has_slots(specs[keys[0]]) else (),
            is_put_off=is_put_off,
        )

    def _slots(self, keys: Sequence[AssetKey], sources: Iterable[AssetKey]) -> tuple[AssetSpec, ...]:
        specs = self._world.graph.specs
        return tuple(specs[key] for key in (*keys, *(source for source in sources if split_slot(source)[1])))

    def origins(self, keys: Iterable[AssetKey]) -> dict[AssetKey, Origin]:
        """What each of these assets is made of."""
        return {key: self._origin(self._world.graph.specs[key]) for key in keys}

    def _origin(self, spec: AssetSpec) -> Origin:
        """What the asset is about to be made of: what is pinned now, not what may be current when it is done."""
        contents = self.contents(spec)
        known = [
            (one, digest_of(one, content)) for one in spec.inputs if (content := contents[one.upstream]) is not None
        ]
        key, parts, config = input_key(spec, known), spec.code_parts or {}, spec.config or {}
        return Origin(
            key, spec.code, parts, config, self.read(spec), self._as_of(spec), spec.packages, spec.files,
            spec.env_vars, spec.code_notes, SCHEME.decode(), spec.code_version,
        )  # fmt: skip

    def _as_of(self, spec: AssetSpec) -> float | None:
        times: list[float] = []
        for one in spec.inputs:
            source, head = self._world.sources.get(one.upstream), self.heads.get(one.upstream)
            time_of_data = source.as_of if source is not None else head.trace.as_of if head is not None else None
            if one.mode != "order" and time_of_data is not None:
                times.append(time_of_data)
        return min(times, default=None)


def _has_slots(spec: AssetSpec) -> bool:
    return any(split_slot(key)[1] for key in (spec.key, *(one.upstream for one in spec.inputs)))


def taken_in_memory(loaded: Loaded, nodes: Iterable[str], *, apart: bool) -> dict[AssetKey, set[str]]:
    """Which of these functions take which assets in a form that can be handed on; `apart`: from process to process."""
    found: dict[AssetKey, set[str]] = {}
    for name in nodes:
        node = loaded.nodes[name]
        for binding in node.bindings if apart or not node.limits.needs_process else ():
            if binding.kind == "asset" and binding.upstream is not None and (binding.form or "python") in FORMS:
                found.setdefault(binding.upstream, set()).add(name)
    return found
