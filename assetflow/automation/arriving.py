"""`files_arrived`: a ready-made sensor for files that others put into a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import cast

from msgspec import Struct

from assetflow.model.automation import RunRequest, SensorContext, SensorDefinition
from assetflow.model.declare import AssetLike, caller_place, key_text
from assetflow.model.durations import seconds

_RACY_NS = 2_000_000_000
"""A file that was changed so shortly before it was looked at may be changed again, and its `stat` stays."""
_TIMEOUT_S = 600.0

Seen = list[object]
"""Size, time, inode and change time of a file, the digest of its content, and when it was looked at."""


def files_arrived(
    pattern: str | Iterable[str],
    select: AssetLike | None = None,
    *,
    each: bool = False,
    partition: Callable[[Path], str] | None = None,
    settle: str | float | timedelta = "2s",
    every: str | float | timedelta = "30s",
    name: str | None = None,
    env: str | None = None,
) -> SensorDefinition:
    """A sensor that asks for a run of `select` when files that fit a glob were put there, or replaced.

    A file is new when no file of that path was there at the last look, or when its content is another one; neither its
    name nor its time has to be later than that of others. Files that were changed within the last `settle` are left for
    the next look: somebody may still write them. Together they are one request; `each=True` makes one for each file,
    and `partition` says which partition a file belongs to: the request is then for these. Paths are relative to the
    project. Give it a name in a module: `landing = files_arrived("landing/*.csv", "orders+")`.

    Example:
        >>> files_arrived("landing/*.csv", "orders+", name="landing")
        sensor('landing')
    """
    patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
    chosen = "" if select is None else select if isinstance(select, str) else key_text(select)
    arrivals = Arrivals(patterns, chosen, each, partition, seconds(settle))

    def look(context: SensorContext) -> list[RunRequest]:
        return arrivals.look(context)

    about = f"files that fit {', '.join(patterns)}"
    return SensorDefinition(name or "", look, seconds(every), _TIMEOUT_S, env, about, *caller_place())


class Arrivals(Struct, frozen=True):
    """What `files_arrived` was told. Its cursor has every file that is there, with its content."""

    patterns: tuple[str, ...]
    select: str
    each: bool
    partition: Callable[[Path], str] | None
    settle_s: float

    def look(self, context: SensorContext) -> list[RunRequest]:
        """The requests for what is new since the cursor, which is moved."""
        before = cast("dict[str, Seen]", json.loads(context.cursor)) if context.cursor else {}
        now: dict[str, Seen] = {}
        new: list[Path] = []
        for path in self._files(context.root):
            label = path.relative_to(context.root).as_posix() if path.is_relative_to(context.root) else str(path)
            known = before.get(label)
            found = _seen(path, known, context.now, self.settle_s)
            if found is not None:
                now[label] = found
                if known is None or known[4] != found[4]:
                    new.append(path)
            elif known is not None:
                now[label] = known
        context.cursor = json.dumps(now, sort_keys=True)
        return list(self._requests(new))

    def _files(self, root: Path) -> list[Path]:
        import glob

        found: set[Path] = set()
        for pattern in self.patterns:
            names = glob.glob(str(root / pattern), recursive=True)  # noqa: PTH207 - a pattern may be absolute
            found.update(map(Path, names))
        return sorted(path for path in found if path.is_file())

    def _requests(self, new: list[Path]) -> Iterator[RunRequest]:
        if not new:
            return
        if self.partition is None:
            yield from [RunRequest(self.select) for _ in new] if self.each else [RunRequest(self.select)]
            return
        keys = list(dict.fromkeys(self.partition(path) for path in new))
        yield from (
            [RunRequest(self.select, key) for key in keys] if self.each else [RunRequest(self.select, ",".join(keys))]
        )


def _seen(path: Path, known: Seen | None, now: float, settle_s: float) -> Seen | None:
    """What a file is now; None when it is gone, or somebody may still be writing it.

    The content is read only when the `stat` is another one, or so young that it says nothing.
    """
    try:
        stat = path.stat()
        if 0 <= now - stat.st_mtime < settle_s:
            return None
        facts = [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns]
        young = max(stat.st_mtime_ns, stat.st_ctime_ns)
        if known is not None and known[:4] == facts and young < cast("int", known[5]) - _RACY_NS:
            return known
        return [*facts, _digest(path), _clock_ns()]
    except OSError:  # it was taken away meanwhile
        return None


def _digest(path: Path) -> str:
    content = blake2b(digest_size=16)
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            content.update(chunk)
    return content.hexdigest()


def _clock_ns() -> int:
    import time

    return time.time_ns()  # of the same clock as the times of files, whatever `now` a look is told
