"""What the world looks like now: everything that a decision depends on, gathered once for each verb."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog, FileRow, Slot
from assetflow.catalog.pointers import Pointers
from assetflow.catalog.slots import with_traces
from assetflow.errors import AssetflowError, DiskFull, NotWritable, SourceMissing, StorageFailed
from assetflow.io.forms import value_words
from assetflow.io.storage import Storage
from assetflow.model.code import CodeSource
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import Discovered, Doubt, Head
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph, Slots
from assetflow.plan.planner import SourceNow, World
from assetflow.plan.surroundings import may_stand_for
from assetflow.run.aliases import aliased
from assetflow.run.declared import DeclaredNow
from assetflow.run.seen import discovered_now

if TYPE_CHECKING:
    from assetflow.io.sources import FileState, Observation
    from assetflow.load.live import Loaded


class Survey(Struct, frozen=True):
    """The world of one verb.

    `asked` are the answers of the version functions that were called just now, `times` those of the as_of functions.
    `known_files` are states of files by path, as far as they had to be looked up. `current` are the heads as they were
    read.
    """

    world: World
    observations: Mapping[AssetKey, Observation]
    rehashed: tuple[FileState, ...]
    asked: Mapping[AssetKey, Observation]
    times: Mapping[AssetKey, float]
    known_files: Mapping[str, FileState]
    current: Current | None = None


class Current(Struct, frozen=True):
    """The heads of an environment: of assets without partitions, and of `parts`.

    `journaled` is how many transactions the journal had before they were read: while it has as many, so are the heads.
    When they were last found current is not in the journal, and may be later.
    """

    env: str
    journaled: int
    parts: Sequence[Slot]
    heads: Mapping[Slot, Head]

    @classmethod
    def of(cls, catalog: Catalog, env: str, parts: Sequence[Slot], earlier: Current | None) -> Current:
        """The heads now, from `earlier` when nothing has been recorded since."""
        journaled = catalog.database.journaled()
        if earlier is not None and (earlier.env, earlier.journaled, earlier.parts) == (env, journaled, parts):
            return earlier
        return cls(env, journaled, parts, catalog.heads(env, parts))


class _Live(Mapping[str, Head]):
    """The best trace of one asset for each input key, looked for only when asked for.

    One with the content that is current comes first (of an asset that gives now this and now that), then the newest.
    Traces whose bytes are gone, that do not count, or that saw other packages or files than there are, are passed over.
    """

    def __init__(
        self, traces: Mapping[str, Sequence[Head]], storage: Storage, spec: AssetSpec, head: Head | None,
        doubt: Doubt | None, now: Discovered | None,
    ) -> None:  # fmt: skip
        self._traces, self._storage, self._spec, self._doubt = traces, storage, spec, doubt
        self._now = now
        self._present = None if head is None else head.version.data_hash

    def __getitem__(self, key: str) -> Head:
        found = sorted(self._traces[key], key=lambda head: head.version.data_hash != self._present)
        for head in found:
            # What a function stored itself (a delivery, a table elsewhere) does not come back when a pointer moves.
            if head.version.io == "none" or not may_stand_for(self._spec, head.trace, self._doubt, self._now):
                continue
            if self._storage.exists(head.version):
                return head
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._traces)

    def __len__(self) -> int:
        return len(self._traces)


def survey(  # noqa: PLR0913 - every part of the world, those of the project by keyword
    graph: AssetGraph | Slots,
    env: str,
    catalog: Catalog,
    storage: Storage,
    load: Callable[[], Loaded] | None,
    earlier: Survey | None = None,
    *,
    root: Path,
    code: Mapping[str, CodeSource],
    discover: bool,
) -> Survey:
    """The world now: heads, sources, and which current bytes are gone.

    `load` gives the live project when a source must be asked by its function; without it such a source is taken as it
    was last observed. Files that assets declare lie below `root`; `code` is the code of now by digest. What `earlier`
    asked is not asked again: a verb that looks twice has one answer. Unless `discover`, what functions were seen to
    open does not count. Its queries are as many for a thousand assets as for ten.

    Raises:
        StorageFailed: what is stored cannot be seen at all, so that nothing can be said of what has to run.
    """
    slots = graph if isinstance(graph, Slots) else Slots(graph, ())
    graph = slots.graph
    if load is not None:
        _storage_must_be_there(catalog, storage)
    parts = [names for key in graph.specs if (names := split_slot(key))[1]]
    # Only a verb that may go on to run something looks twice.
    current = None if load is None else Current.of(catalog, env, parts, None if earlier is None else earlier.current)
    heads = dict(catalog.heads(env, parts) if current is None else current.heads)
    declared = DeclaredNow(root, catalog.database.path, remembered := Remembered(catalog), time.time_ns())
    graph = graph.having(declared.look(graph.specs.values()))
    heads.update(aliased(graph, heads, catalog, code))
    doubts = {slot(*names): doubt for names, doubt in catalog.doubts(env).items()}
    pins = {slot(*names): pin for names, pin in Pointers(catalog).pins(env).items()}
    here = {name: head for names, head in heads.items() if (name := slot(*names)) in graph.specs}
    lost = frozenset(
        name for name, head in here.items() if head.version.io != "source" and not storage.exists(head.version)
    )
    seen, reread = discovered_now(here.values() if discover else None, root, remembered)
    sources = {key: spec for key, spec in graph.specs.items() if spec.is_source}
    observer = _SourceObserver(heads, load, earlier, remembered)
    now = {key: observer.look(spec) for key, spec in sources.items()}

    def traces(keys: list[AssetKey]) -> Mapping[Slot, Mapping[str, Head]]:
        return {
            names: _Live(found, storage, graph.specs[slot(*names)], heads.get(names), doubts.get(slot(*names)), seen)
            for names, found in catalog.traces(map(split_slot, keys), env).items()
        }

    def durations(keys: list[AssetKey]) -> Mapping[AssetKey, float]:
        found = catalog.durations(dict.fromkeys(split_slot(key)[0] for key in keys))
        return {key: found[asset] for key in keys if (asset := split_slot(key)[0]) in found}

    unsteady = frozenset((slot(key, partition), input_key) for key, partition, input_key in catalog.unsteady())
    world = World(
        graph, env, heads, now, traces, lost, pins, doubts, unsteady, durations, partial(with_traces, catalog.database),
        seen, slots.settled, slots.current, slots.crowds, slots.unmet,
    )  # fmt: skip
    found = {one.path: one for one in (*observer.rehashed, *declared.rehashed.values(), *reread.values())}
    known = {**remembered.known, **found}
    rehashed = tuple(found.values())
    return Survey(world, observer.observations, rehashed, observer.asked, observer.times, known, current)


_seen_of = attrgetter(
    "env", "heads", "sources", "lost", "pins", "doubts", "unsteady", "discovered", "settled", "current", "crowds",
    "unmet", "graph.specs",
)  # fmt: skip


def means_the_same(one: World, other: World) -> bool:
    """Whether a plan for one is a plan for the other: all that can be seen of what decisions go by is equal."""
    return _seen_of(one) == _seen_of(other)


class Remembered:
    """What files looked like when they were hashed, read from the catalog when it is first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._states: dict[str, FileState] | None = None

    @property
    def known(self) -> Mapping[str, FileState]:
        """What has been read so far."""
        return self._states or {}

    def __call__(self) -> Mapping[str, FileState]:
        """The states by path."""
        if self._states is None:
            from assetflow.io.sources import FileState

            self._states = {row[0]: FileState(*row) for row in self._catalog.file_states().values()}
        return self._states


def _storage_must_be_there(catalog: Catalog, storage: Storage) -> None:
    """Refuse to take versions on a disk that is away for lost: they would be made again, and forgotten."""
    if storage.root.exists():
        return
    from assetflow.catalog.keeping import Keeping
    from assetflow.io.inspect import way_back

    if not (stored := len(Keeping(catalog.database).versions("live"))):
        return
    raise StorageFailed(
        f"the storage folder {storage.root} is not there; is its disk mounted?",
        facts=(f"catalog:  it has {stored} versions in that folder",),
        fix=way_back(storage.root),
    )


def remember(catalog: Catalog, env: str, found: Survey) -> None:
    """Note what looking at sources had to find out, so that the next look is cheaper."""
    if found.rehashed:
        catalog.save_file_states(file_row(state) for state in found.rehashed)
    seen = [key for key in found.asked if found.world.head(key) is not None]
    same = [key for key in seen if _is_same(found, key)]
    if same:
        catalog.verified(env, same, time.time())


def remember_if_possible(catalog_path: Path, env: str, found: Survey) -> None:
    """`remember` for a verb that has nothing else to write: a catalog that cannot be written does not make it fail."""
    if not (found.rehashed or found.asked):
        return
    try:
        catalog = Catalog(catalog_path, write=True)
        try:
            remember(catalog, env, found)
        finally:
            catalog.close()
    except (NotWritable, DiskFull):
        return  # it only saves time later, and what was asked for is done: there was nothing to do


def _is_same(found: Survey, key: AssetKey) -> bool:
    head = found.world.head(key)
    return head is not None and head.version.data_hash == found.world.sources[key].token


class _SourceObserver:
    """Looks at sources; remembers what had to be read, so that the caller can note it."""

    def __init__(
        self,
        heads: Mapping[Slot, Head],
        load: Callable[[], Loaded] | None,
        earlier: Survey | None,
        remembered: Remembered,
    ) -> None:
        self._heads, self._load = heads, load
        self._earlier, self._remembered = earlier, remembered
        self.observations: dict[AssetKey, Observation] = {}
        self.rehashed: list[FileState] = []
        self.asked: dict[AssetKey, Observation] = {}
        self.times: dict[AssetKey, float] = {}

    def look(self, spec: AssetSpec) -> SourceNow:
        """The source now; a problem is part of the answer, so that one missing file does not hide the others."""
        try:
            observation = self._observe(spec)
        except AssetflowError as problem:
            return SourceNow("", problem=problem)
        self.observations[spec.key] = observation
        token = _with_reading(observation.token, spec)
        return SourceNow(token, observation.as_of, observation.size_bytes)

    def _observe(self, spec: AssetSpec) -> Observation:
        source = spec.source
        if source is None:
            raise SourceMissing(f"source {spec.key} says neither where it is nor how to ask for its version")
        if source.path is not None:
            observation = self._files(spec.key, source.path)
            return replace(observation, as_of=self._file_time(spec, observation)) if source.has_as_of else observation
        return self._token(spec, source.ttl_s)

    def _file_time(self, spec: AssetSpec, observation: Observation) -> float | None:
        """What the as_of function says; when it is not asked, what it said of this content, if that was observed."""
        if self._load is not None:
            return self._time(spec, self._load())
        head = self._heads.get(split_slot(spec.key))
        is_same = head is not None and head.version.data_hash == _with_reading(observation.token, spec)
        return head.trace.as_of if head is not None and is_same else None

    def _files(self, key: AssetKey, path: str) -> Observation:
        from assetflow.io.sources import observe_files

        remembered = self._remembered()
        try:
            observation = observe_files(path, remembered, time.time_ns())
        except SourceMissing as error:
            fix, partition = error.fix, split_slot(key)[1]
            if partition:  # the names that are like it are those of other partitions
                fix = f"put a file of partition {partition} there: `path=` of the source has one for each"
            raise SourceMissing(f"source {key}: {error.what}", facts=error.facts, fix=fix) from error
        self.rehashed += [state for state in observation.files if remembered.get(state.path) != state]
        return observation

    def _token(self, spec: AssetSpec, ttl_s: float | None) -> Observation:
        from assetflow.io.sources import Observation

        head = self._heads.get((spec.key, ""))
        is_held = head is not None and ttl_s is not None and time.time() - head.verified_at < ttl_s
        if head is not None and (is_held or self._load is None):
            return Observation(head.trace.input_key.partition("|")[0], head.trace.as_of, 0, ())
        if self._load is None:
            return Observation("never asked", None, 0, ())
        before = None if self._earlier is None else self._earlier.asked.get(spec.key)
        self.asked[spec.key] = before or self._ask(spec, self._load(), head)
        return self.asked[spec.key]

    def _ask(self, spec: AssetSpec, loaded: Loaded, head: Head | None) -> Observation:
        from assetflow.io.sources import Observation

        definition = loaded.sources[spec.key]
        assert definition.version is not None, "a source without a path has a version function"
        token = _called(spec, "version", definition.version)
        text = f"token:{hashlib.sha256(repr(token).encode()).hexdigest()[:32]}"
        if definition.as_of is not None:
            return Observation(text, self._time(spec, loaded), 0, ())
        is_same = head is not None and head.trace.input_key.partition("|")[0] == text
        return Observation(text, head.trace.as_of if head is not None and is_same else time.time(), 0, ())

    def _time(self, spec: AssetSpec, loaded: Loaded) -> float:
        """The answer of the as_of function.

        Raises:
            SourceMissing: it raised, or returned something other than an aware datetime.
        """
        before = None if self._earlier is None else self._earlier.times.get(spec.key)
        if before is None:
            function = loaded.sources[spec.key].as_of
            assert function is not None, "only a source with an as_of function is asked for its time"
            before = _time_of(spec, _called(spec, "as_of", function))
        self.times[spec.key] = before
        return before


def _time_of(spec: AssetSpec, answer: object) -> float:
    if isinstance(answer, datetime) and answer.tzinfo is not None:
        return answer.timestamp()
    is_time = isinstance(answer, datetime)
    what = "a datetime without a time zone" if is_time else f"{value_words(answer)}, not an aware datetime"
    raise SourceMissing(
        f"the as_of function of source {spec.key} returned {what}",
        fix="return an aware datetime, such as datetime.now(UTC)",
    )


def _called(spec: AssetSpec, name: str, function: Callable[[], object]) -> object:
    """The answer of a function of a source.

    Raises:
        SourceMissing: it raised.
    """
    try:
        with redirect_stdout(sys.stderr):  # what it prints must not get between the lines of our answer
            return function()
    except AssetflowError:
        raise
    except Exception as error:
        raise SourceMissing(
            f"the {name} function of source {spec.key} raised {type(error).__name__}: {error}",
            fix=f"see {spec.file}:{spec.line}",
        ) from error


def _with_reading(token: str, spec: AssetSpec) -> str:
    """The token together with how the source is read: other options make other data of the same file."""
    source = spec.source
    if source is None or not (source.options or spec.code):
        return token
    reading = json.dumps([source.format, dict(source.options), spec.code], sort_keys=True, default=str)
    return f"{token}|{hashlib.sha256(reading.encode()).hexdigest()[:16]}"


def file_row(state: FileState) -> FileRow:
    """A file state as the catalog keeps it."""
    return (state.path, state.size, state.mtime_ns, state.inode, state.ctime_ns, state.digest, state.recorded_ns)
