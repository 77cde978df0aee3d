"""Running assets again on exactly what their current versions read, and comparing what comes out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import by_name
from assetflow.errors import AssetflowError, UsageError
from assetflow.io.hashing import algorithm_of
from assetflow.io.sources import Observation
from assetflow.io.storage import Storage
from assetflow.load.live import Loaded
from assetflow.load.settings import Settings
from assetflow.load.slotted import with_slots
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Discovered, Head, NewVersion, Trace, Version
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.named import has_partitions, with_partitions
from assetflow.plan.surroundings import code_now, code_then, moved_discoveries, moved_packages
from assetflow.plan.together import siblings
from assetflow.run.aside import Aside, AsideStorage, aside
from assetflow.run.outcome import StepError
from assetflow.run.survey import Survey
from assetflow.run.task import NodeResult

if TYPE_CHECKING:
    from assetflow.io.diff_results import TableDiff, ValueDiff


class Verified(Struct, frozen=True):
    """What came of running one asset again.

    state: `same`, `differs`, `failed` (it raised), or `cannot` (it was not run, `why` says the reason). `changed` names
    what of its definition is another one than when the current version was made: code, config, files, env, packages,
    opened files; when nothing is, an asset that differs is not deterministic. `diff` compares the current version with
    what came out.
    """

    asset: AssetKey
    state: str
    version: int | None = None
    why: str = ""
    changed: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    seconds: float = 0.0
    diff: TableDiff | ValueDiff | None = None
    error: StepError | None = None

    @property
    def is_nondeterministic(self) -> bool:
        """Whether the same definition gave something else for the same inputs."""
        return self.state == "differs" and not self.changed

    def to_json(self) -> dict[str, object]:
        """The answer as JSON-able values, but for values of rows."""
        return {
            "asset": self.asset, "state": self.state, "version": self.version, "why": self.why or None,
            "changed": list(self.changed), "columns": list(self.columns), "seconds": self.seconds,
            "nondeterministic": self.is_nondeterministic,
            "diff": None if self.diff is None else self.diff.to_json(),
            "error": None if self.error is None else self.error.to_json(),
        }  # fmt: skip


class Verification(Struct, frozen=True):
    """What `verify` found, in topological order; `left_out` counts the assets that a sample did not draw."""

    items: tuple[Verified, ...]
    left_out: int = 0
    seed: int | None = None

    def __iter__(self) -> Iterator[Verified]:
        return iter(self.items)

    def __getitem__(self, key: str) -> Verified:
        return next(one for one in self.items if one.asset == key)

    @property
    def ok(self) -> bool:
        """Whether all that could be run came out the same."""
        return not any(one.state in ("differs", "failed") for one in self.items)

    def to_json(self) -> dict[str, object]:
        """The answer as JSON-able values, but for values of rows."""
        return {"seed": self.seed, "left_out": self.left_out, "items": [one.to_json() for one in self.items]}


class Verifier(Struct):
    """Runs assets again, one after the other. The store is only read."""

    settings: Settings
    graph: AssetGraph
    loaded: Loaded
    storage: Storage
    found: Survey
    known: Mapping[tuple[AssetKey, int], Version]
    _done: dict[object, tuple[AsideStorage, NodeResult]] = field(
        default_factory=dict[object, "tuple[AsideStorage, NodeResult]"]
    )

    def verify(self, keys: Sequence[AssetKey]) -> Iterator[Verified]:
        """What comes of each of these assets."""
        loaded = with_slots(self.loaded, self.graph.specs.values())
        with aside(self.settings, loaded, self.graph.specs) as place:
            for key in keys:
                yield self._one(place, self.found.world.graph.specs[key])

    def _one(self, place: Aside, spec: AssetSpec) -> Verified:
        head = self.found.world.head(spec.key)
        why = self._obstacle(spec, head)
        if head is None or why:
            return Verified(spec.key, "cannot", None if head is None else head.version.number, why)
        changed = _changed(spec, head.trace, self.found.world.discovered)
        storage, result = self._run(place, spec, head)
        base = Verified(spec.key, "same", head.version.number, changed=changed, seconds=sum(result.seconds.values()))
        if result.error is not None:
            return replace(base, state="failed", why=f"{result.error.type}: {result.error.message}", error=result.error)
        if result.skipped is not None:
            return replace(base, state="cannot", why=f"it skipped itself: {result.skipped}")
        made = result.outputs[spec.key]
        if made.data_hash == head.version.data_hash or made.version is None:
            return base
        return self._different(base, storage, head.version, made.version)

    def _run(self, place: Aside, spec: AssetSpec, head: Head) -> tuple[AsideStorage, NodeResult]:
        """Run the function of an asset; once for all outputs that read the same."""
        read = frozenset((one.parameter, one.upstream, one.version_number) for one in head.trace.inputs)
        same = (spec.node, read, algorithm_of(head.version.data_hash))
        if same not in self._done:
            self._done.clear()  # outputs of one function follow each other, and frames are large
            storage = place.storage(self.storage, algorithm_of(head.version.data_hash))
            traces = {
                key: other.trace
                for key in siblings(self.graph)[spec.node]
                if (other := self.found.world.head(key)) is not None
            }
            versions = {
                one.upstream: version
                for one in head.trace.inputs
                if one.version_number is not None
                and (version := self.known.get((one.upstream, one.version_number))) is not None
            }
            observations: dict[AssetKey, Observation] = {
                one.upstream: self.found.observations[one.upstream]
                for one in spec.inputs
                if self.graph.specs[one.upstream].is_source and one.upstream in self.found.observations
            }
            slots = tuple(self.graph.specs[key] for key in (*siblings(self.graph)[spec.node], *observations))
            result = place.run(storage, spec.node, versions, observations, traces, slots)
            self._done[same] = (storage, result)
        return self._done[same]

    def _obstacle(self, spec: AssetSpec, head: Head | None) -> str:
        """Why an asset cannot be run again on what its current version read; empty when it can."""
        if head is None:
            return "it has never been materialized"
        for key in siblings(self.graph)[spec.node]:
            other = self.found.world.head(key)
            if other is not None and other.version.io == "none":
                return "it stores its result itself, so running it again would do that again"
        read = {(one.parameter, one.upstream): one for one in head.trace.inputs if one.mode != "order"}
        for given in spec.inputs:
            if given.mode == "order":
                continue
            was = read.get((given.parameter, given.upstream))
            if was is None:
                return f"it reads `{given.upstream}` now, which {head.version.name} did not"
            if self.graph.specs[given.upstream].is_source:
                source = self.found.world.sources[given.upstream]
                if source.problem is not None:
                    return f"the source `{given.upstream}` cannot be read: {source.problem.what}"
                if source.token != was.digest:
                    return f"the source `{given.upstream}` has changed since, and of sources no copies are kept"
                continue
            version = self.known.get((given.upstream, was.version_number or 0))
            if version is None or version.state != "live" or not self.storage.exists(version):
                return f"the bytes of {given.upstream}@{was.version_number}, which it read, are gone"
        return ""

    def _different(self, base: Verified, storage: AsideStorage, old: Version, made: NewVersion) -> Verified:
        """The difference between the current version and what came out, as far as it can be looked into."""
        from assetflow.io.diff import Ask, diff_tables
        from assetflow.io.diff_values import diff_values

        new = Version(
            0, old.asset, old.partition, old.number, made.data_hash, made.io, made.location, made.rows, made.size_bytes,
            made.schema, made.columns, made.details, 0.0,
        )  # fmt: skip
        try:
            if old.rows is not None and new.rows is not None:
                found = diff_tables(storage, old, new, Ask(declared=self._keys(old), limit=5))
                columns = tuple(one.name for one in found.columns)
                return replace(base, state="differs", diff=found, columns=columns)
            return replace(base, state="differs", diff=diff_values(storage, old, new, limit=5))
        except AssetflowError as error:  # that they differ is known all the same
            return replace(base, state="differs", why=f"they could not be compared: {error.what}")

    def _keys(self, version: Version) -> tuple[tuple[str, ...], ...]:
        """The columns of `unique` checks."""
        names = [one.name for one in self.graph.specs[version.slot].checks]
        inside = [name[len("unique(") : -1] for name in names if name.startswith("unique(") and name.endswith(")")]
        return tuple((one,) if one in version.schema else tuple(one.split(", ")) for one in inside)


def to_verify(graph: AssetGraph, keys: Sequence[AssetKey], catalog: Catalog, env: str) -> list[AssetKey]:
    """The keys without sources; in the place of an asset with partitions those that exist and have a version."""
    own = [key for key in keys if not graph.specs[split_slot(key)[0]].is_source]
    if not any(has_partitions(graph, key) for key in own):
        return own
    now = datetime.now(UTC)
    parted = {key: spec.partitions for key, spec in graph.specs.items() if spec.partitions is not None}
    existing = {key: definition.keys_until(now) for key, definition in parted.items()}

    def is_there(name: AssetKey) -> bool:
        asset, partition = split_slot(name)
        definition = parted.get(asset)
        try:
            return definition is not None and definition.ordinals([partition]) <= existing[asset]
        except UsageError:
            return False  # of an earlier definition

    return with_partitions(graph, own, filter(is_there, by_name(catalog.heads(env))))


def draw(keys: Sequence[AssetKey], sample: int | None, seed: int | None) -> tuple[list[AssetKey], int | None]:
    """At most `sample` of the keys, in their order, and the seed that draws the same ones again."""
    if sample is None or len(keys) <= sample:
        return list(keys), None
    used = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    chosen = set(random.Random(used).sample(range(len(keys)), sample))  # noqa: S311 - to choose, not to hide
    return [key for place, key in enumerate(keys) if place in chosen], used


def versions_read(catalog: Catalog, env: str, keys: Sequence[AssetKey]) -> dict[tuple[AssetKey, int], Version]:
    """The versions that the current versions of these assets were made from, by asset and number."""
    heads = by_name(catalog.heads(env, map(split_slot, keys)))
    wanted = {
        (one.upstream, one.version_number)
        for key in keys
        if (head := heads.get(key)) is not None
        for one in head.trace.inputs
        if one.version_number is not None
    }
    read = catalog.live_versions({split_slot(key)[0] for key, _ in wanted})
    found = {(one.slot, one.number): one for one in read}
    return {pair: version for pair, version in found.items() if pair in wanted}


def _changed(spec: AssetSpec, trace: Trace, now: Discovered | None) -> tuple[str, ...]:
    """What of the definition is another one than when the version was made, also what makes nothing stale."""
    counting, drifting = moved_packages(spec, trace)
    opened, ran = moved_discoveries(spec, trace, now)
    pairs = (
        ("code", code_now(spec) != code_then(trace)),
        ("config", dict(spec.config or {}) != dict(trace.config)),
        ("files", dict(spec.files) != dict(trace.files)),
        ("env", dict(spec.env_vars) != dict(trace.env_vars)),
        ("packages", bool(counting or drifting)),
        ("opened files", bool(opened or ran)),
    )
    return tuple(name for name, is_other in pairs if is_other)
