"""Writing down what answers rest on, and the answers: the long way does it for the short one (`run.unchanged`)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from assetflow.catalog.database import SCHEMA_VERSION
from assetflow.catalog.token import files_around, is_quiet
from assetflow.errors import AssetflowError
from assetflow.io.storage import Storage
from assetflow.load.caches import read_cache, write_cache
from assetflow.load.manifest import settings_digest
from assetflow.load.settings import Settings
from assetflow.model.records import ABSENT
from assetflow.plan.planner import Plan
from assetflow.run.declared import DeclaredNow
from assetflow.run.survey import Survey
from assetflow.run.unchanged import (
    answer_path,
    answers_folder,
    cache_folder,
    ground_path,
    is_off,
    key_of,
    stamp,
)

if TYPE_CHECKING:
    from assetflow.io.sources import FileState

_MOST_ANSWERS = 32


class Before(Struct, frozen=True):
    """What was taken before anything was looked at: what changes meanwhile then makes it another one."""

    manifest: str
    token: Sequence[object]
    around: Sequence[object]

    @classmethod
    def of(cls, settings: Settings, manifest: str, token: Sequence[object]) -> Before | None:
        """It; None where nothing is to be written down."""
        if is_off() or not (manifest and is_quiet(token)):
            return None
        try:
            return cls(manifest, token, files_around(str(settings.catalog_path)))
        except OSError:
            return None


class Clock(Struct, frozen=True):
    """From when until when an answer holds by the clock (UTC seconds); None where that has no say."""

    since: float | None = None
    until: float | None = None


ALWAYS = Clock()


class Ground(Struct, frozen=True):
    """All that answers rest on which need nothing but what is current, and when they hold."""

    settings: Settings
    facts: Mapping[str, object]
    clock: Clock


def is_at_rest(plan: Plan) -> bool:
    """Whether a plan says of everything in it that it is current, as are its sources."""
    return plan.is_empty and not (plan.changed_sources or plan.undecided or plan.settled)


def ground_of(
    settings: Settings, storage: Storage, before: Before | None, found: Survey, clock: Clock, *, asks: bool
) -> Ground | None:
    """What answers rest on that are about what is current and nothing else; None where that takes more to tell.

    `asks`: sources were asked by their functions, which has to be done anew for each answer.
    """
    if before is None or not settings.settings_key:
        return None
    specs, heads = found.world.graph.specs, found.world.heads
    files: list[tuple[str, Sequence[FileState]]] = []
    places: list[str] = []
    ends: list[float] = []
    for key, spec in specs.items():
        head = heads.get((key, ""))
        if spec.partitions is not None or head is None:
            return None
        if spec.cue is not None and spec.cue.ttl_s is not None:
            ends.append(head.trace.finished_at + spec.cue.ttl_s)
        if (source := spec.source) is not None:
            if asks and (source.has_token or source.has_as_of):
                return None
            if source.path is not None:
                observation = found.observations.get(key)
                if observation is None:
                    return None
                files.append((source.path, observation.files))
        elif (place := storage.place(head.version)) is None:
            return None  # it takes more than to see that a file is there
        elif place:
            places.append(place)
    try:
        files += _declared(settings, found)
        opened, absent = _opened(settings, found)
    except (_NotKnownError, AssetflowError, OSError):
        return None
    rows = [[pattern, [[*_row(one)] for one in states]] for pattern, states in (*files, *opened)]
    facts: dict[str, object] = {
        "key": key_of(settings.settings_key, settings.modules),
        "settings": settings_digest(settings),
        "manifest": before.manifest,
        "catalog": {
            "path": str(settings.catalog_path), "version": SCHEMA_VERSION, "token": [*before.token],
            "around": [*before.around],
        },
        "storage": str(settings.storage_path),
        "places": places,
        "files": rows,
        "absent": absent,
        "variables": {name: text for spec in specs.values() for name, text in spec.env_vars.items()},
    }  # fmt: skip
    if ends:
        clock = Clock(clock.since, min([*ends, *([] if clock.until is None else [clock.until])]))
    return Ground(settings, facts, clock)


def keep_answer(
    ground: Ground,
    question: str,
    data: Mapping[str, object],
    *,
    texts: Sequence[str] = (),
    stamps: Sequence[str] = (),
    empty: Sequence[str] = (),
) -> None:
    """Write an answer down that rests on this ground.

    Besides, the files `stamps` have to stay as they are, and the folders `empty` to hold nothing.
    """
    folder, env = cache_folder(str(ground.settings.root)), ground.settings.env
    name = _laid(ground, folder, env)
    answer = {
        "question": question, "ground": name, "since": ground.clock.since, "until": ground.clock.until,
        "stamps": [[path, stamp(path)] for path in stamps], "empty": [*empty], "data": data,
    }  # fmt: skip
    _make_room(answers_folder(folder, env))
    write_cache(answer_path(folder, env, question), answer, texts)


def _laid(ground: Ground, folder: str, env: str) -> str:
    """The name of the note with these facts: the one that is there, or a new one."""
    path = ground_path(folder, env)
    stored = read_cache(path)
    if isinstance(stored, dict):
        known = cast("dict[str, Any]", stored)
        name = known.pop("name", None)
        if known == ground.facts and isinstance(name, str):
            return name
        if not (isinstance(name, str) and _timeless(known) == _timeless(ground.facts)):
            name = os.urandom(16).hex()
    else:
        name = os.urandom(16).hex()
    write_cache(path, {"name": name, **ground.facts})
    return name


def _timeless(facts: Mapping[str, Any]) -> dict[str, object]:
    """The facts without when each file was read: a file that was new then is read again by every look."""
    files = [[pattern, [state[:-1] for state in states]] for pattern, states in facts.get("files", ())]
    return {**facts, "files": files}


def _make_room(folder: str) -> None:
    """Remove answers before there are too many: most are of another ground, and none is needed."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return
    for name in names if len(names) >= _MOST_ANSWERS else ():
        try:
            os.unlink(f"{folder}{os.sep}{name}")  # noqa: PTH108
        except OSError:
            return


class _NotKnownError(Exception):
    """A file is not as it was when it was looked at."""


def _declared(settings: Settings, found: Survey) -> Iterator[tuple[str, Sequence[FileState]]]:
    """The files of `files=`, if they are what the survey found."""
    wanted = {name: text for spec in found.world.graph.specs.values() for name, text in spec.files.items()}
    now = DeclaredNow(settings.root, settings.catalog_path, lambda: found.known_files, time.time_ns())
    for name, text in wanted.items():
        if now.file(name) != text:
            raise _NotKnownError
        yield now.pattern(name), now.states(name)


def _opened(settings: Settings, found: Survey) -> tuple[list[tuple[str, Sequence[FileState]]], list[str]]:
    """What functions were seen to open or to run, and which of it is not there."""
    seen = found.world.discovered
    if seen is None:
        return [], []
    specs = found.world.graph.specs
    heads = [head.trace.discovered for (key, _), head in found.world.heads.items() if key in specs]
    names = {name for one in heads for name in (*one.files, *one.code)}
    there: list[tuple[str, Sequence[FileState]]] = []
    absent: list[str] = []
    for name in sorted(names):
        path = f"{settings.root}{os.sep}{name.replace('/', os.sep)}"
        state = found.known_files.get(path)
        if seen.files[name] == ABSENT:
            absent.append(path)
        elif state is None or seen.files[name] != f"xxh3:{state.digest}":
            raise _NotKnownError
        else:
            there.append((path, [state]))
    return there, absent


def _row(state: FileState) -> tuple[object, ...]:
    return (
        state.path, state.size, state.mtime_ns, state.inode, state.ctime_ns, state.digest, state.recorded_ns
    )  # fmt: skip
