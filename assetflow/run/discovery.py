"""What a function opens while it makes an asset, and which modules it imports, told by one audit hook of the process.

Python announces what its own functions open. Native code (`pyarrow`, `duckdb`, `polars`) and other processes announce
nothing, so what they read is not seen. The hook only collects paths; looking at content comes when the step has ended.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Protocol, cast

from msgspec import Struct, field

from assetflow.model.spec import AssetSpec
from assetflow.run.capture import StepLog, current_log, own_log
from assetflow.run.entered import leave_code, watch_code
from assetflow.run.seen import Times

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FOREIGN = frozenset(["site-packages", "dist-packages", "node_modules", "__pycache__", ".git", ".hg"])
"""Folders below a project whose content is not the project's: packages count by their versions."""
_ON_THE_WAY = re.compile(r".*[/\\](pathlib|runpy|tokenize|codecs)(\.py|[/\\]\w+\.py)|<frozen (runpy|codecs|pathlib.*)>")
"""Code of Python between a function that opens a file and the opening itself."""
_MOST_FRAMES = 8


class Place(Struct, frozen=True):
    """Where paths count: below `root` (without links: `real_root`), and not in `own`, which is relative to it."""

    root: str
    real_root: str
    own: tuple[str, ...]

    @classmethod
    def of(cls, root: Path, own: Iterable[Path]) -> Place:
        """The place of a project without what is `own`: what is assetflow's, or no part of the project."""
        real = Path(os.path.realpath(root))
        paths = [*own, Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1]]
        below = [str(path.relative_to(base)) for base in (root, real) for path in paths if path.is_relative_to(base)]
        return cls(f"{root}{os.sep}", f"{real}{os.sep}", tuple(dict.fromkeys(one for one in below if one != ".")))

    def inside(self, path: str) -> str | None:
        """The path relative to the root, with slashes; None when it does not count."""
        full = os.path.abspath(path)  # noqa: PTH100 - called for every opened file: a Path costs more than the rest
        for root in (self.root, self.real_root):
            if full.startswith(root):
                name = full[len(root) :]
                break
        else:
            return None
        if any(name == one or name.startswith(f"{one}{os.sep}") for one in self.own):
            return None
        name = name.replace(os.sep, "/")
        return None if _FOREIGN.intersection(name.split("/")) else name


class Seen(Struct):
    """What one step did, by paths below the root. `opened` has the times of each file when it was first opened.

    They are None for a file that was not there. `written` are files that the step itself wrote, moved or removed;
    `made` the folders that it made. `modules` are those that it was the first to import, by name; `code` is what of the
    project began to run meanwhile, by path and line (0: the module itself), with the step of the thread it ran in.
    `spec` is an asset that the step makes.
    """

    place: Place
    opened: dict[str, Times | None] = field(default_factory=dict[str, "Times | None"])
    written: set[str] = field(default_factory=set[str])
    made: set[str] = field(default_factory=set[str])
    modules: dict[str, None] = field(default_factory=dict[str, None])
    code: dict[tuple[str, int], Seen | None] = field(default_factory=dict[tuple[str, int], "Seen | None"])
    spec: AssetSpec | None = None
    began_ns: int = field(default_factory=time.time_ns)

    def read(self) -> dict[str, Times | None]:
        """What was opened and is not the step's own."""
        made = tuple(self.made)
        return {
            path: times
            for path, times in dict(self.opened).items()  # a thread that goes on may still add to it
            if path not in self.written and not any(path.startswith(f"{folder}/") for folder in made)
        }


class _Note(Protocol):
    """Takes down one event; `is_its_own` tells a thread of the step from one of which it is not known whose it is."""

    def __call__(self, seen: Seen, arguments: tuple[object, ...], *, is_its_own: bool) -> None: ...


_RUNNING: dict[StepLog, Seen] = {}
"""The steps that are watched, by the log that tells to which step a thread belongs."""

_hooked: list[bool] = []


@contextmanager
def watching(seen: Seen | None) -> Generator[None]:
    """Note in `seen` what the calling thread's step does while the block runs; threads that it starts belong to it."""
    log = current_log()
    if seen is None or log is None:
        yield
        return
    if not _hooked:  # Python cannot remove a hook: there is one for the life of the process
        _hooked.append(True)
        sys.addaudithook(_hook)
    _RUNNING[log] = seen
    watch_code(_entered)
    try:
        yield
    finally:
        del _RUNNING[log]
        leave_code(lambda: bool(_RUNNING))


def _entered(code: CodeType) -> None:
    """Note for every step that runs that this code does too: that it began in another thread is told only once."""
    file = code.co_filename
    running = tuple(_RUNNING.values())
    if not running or not file.startswith((running[0].place.root, running[0].place.real_root)):
        return
    name = running[0].place.inside(file)
    if name is None:
        return
    log = current_log()
    mine = None if log is None else _RUNNING.get(log)
    if mine is None and own_log() is not None:
        return
    line = 0 if code.co_name == "<module>" else code.co_firstlineno
    for seen in running:
        seen.code.setdefault((name, line), mine)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _RUNNING or event not in _EVENTS:
        return
    try:
        log = current_log()
        mine = None if log is None else _RUNNING.get(log)
        if mine is None and own_log() is not None:
            return  # a step that is not in its function now: it reads its inputs, or looks at what was opened
        # A thread that no running step started (a pool of the module, say) may work for any of them.
        for seen in (mine,) if mine is not None else tuple(_RUNNING.values()):
            _EVENTS[event](seen, arguments, is_its_own=mine is not None)
    except Exception:  # noqa: BLE001 - what is wrong here must not fail in the middle of the user's `open`
        return


def _opened(seen: Seen, arguments: tuple[object, ...], *, is_its_own: bool) -> None:
    path = _path(arguments[0])
    name = None if path is None else seen.place.inside(path)
    if name is None:
        return
    mode, flags = arguments[1], arguments[2]
    is_writing = isinstance(flags, int) and bool(flags & _WRITING)
    if is_writing or (isinstance(mode, str) and not set(mode).isdisjoint("wax+")):
        if is_its_own:
            seen.written.add(name)
    elif name not in seen.opened and (not name.endswith((".py", ".pyc")) or _is_read_by_the_project(seen.place)):
        try:
            found = os.stat(seen.place.root + name)  # noqa: PTH116 - a Path costs more than the call
        except (FileNotFoundError, NotADirectoryError):
            seen.opened[name] = None
            return
        if stat.S_ISREG(found.st_mode):
            seen.opened[name] = times_of(found)


def times_of(found: os.stat_result) -> Times:
    """What tells a file from what it was before."""
    return (found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def _is_read_by_the_project(place: Place) -> bool:
    """Whether code is opened by a function of the project, as text, and not by an import or to show a traceback."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    ours = {_hook.__code__.co_filename}
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return False
        file = frame.f_code.co_filename
        if file.startswith(place.root) and file not in ours:
            return place.inside(file) is not None
        if file not in ours and not _ON_THE_WAY.fullmatch(file):
            return False
        frame = frame.f_back
    return False


def _changed(*places: int) -> _Note:
    def note(seen: Seen, arguments: tuple[object, ...], *, is_its_own: bool) -> None:
        for place in places if is_its_own else ():
            path = _path(arguments[place])
            if path is not None and (name := seen.place.inside(path)) is not None:
                seen.written.add(name)

    return note


def _made(seen: Seen, arguments: tuple[object, ...], *, is_its_own: bool) -> None:
    path = _path(arguments[0])
    name = None if path is None else seen.place.inside(path)
    if name is not None and is_its_own and not os.path.lexists(seen.place.root + name):
        seen.made.add(name)


def _imported(seen: Seen, arguments: tuple[object, ...], *, is_its_own: bool) -> None:
    seen.modules[str(arguments[0])] = None


_EVENTS: Mapping[str, _Note] = {
    "open": _opened,
    "os.rename": _changed(0, 1),
    "os.remove": _changed(0),
    "os.link": _changed(1),
    "os.symlink": _changed(1),
    "os.truncate": _changed(0),
    "os.mkdir": _made,
    "import": _imported,
}


def _path(argument: object) -> str | None:
    if isinstance(argument, os.PathLike):
        argument = os.fspath(cast("os.PathLike[str] | os.PathLike[bytes]", argument))
    if isinstance(argument, bytes):
        argument = os.fsdecode(argument)
    return argument if isinstance(argument, str) else None
