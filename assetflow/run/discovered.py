"""What a step was seen to do, turned into what its trace records: digests of the files that it opened, or ran."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.load.settings import Settings
from assetflow.model.code import CodeSource
from assetflow.model.records import NOTHING_DISCOVERED, UNKNOWN, Discovered
from assetflow.model.spec import AssetSpec
from assetflow.run.discovery import Place, Seen
from assetflow.run.seen import UNREADABLE, CodeNow, FilesNow, Times

if TYPE_CHECKING:
    from assetflow.io.sources import FileState, Observation
    from assetflow.run.reach import Reach


class Discovery:
    """Turns what steps of one run were seen to do into what their traces record. Used by all its threads at once.

    `remembered` are states of files that are known already, by absolute path; `sources` is the code behind all assets.
    """

    def __init__(
        self, settings: Settings, remembered: Mapping[str, FileState], sources: Mapping[str, CodeSource]
    ) -> None:
        own = (settings.state_path, settings.storage_path, settings.catalog_path, settings.warehouse_path)
        self._root = settings.root
        self.place = Place.of(settings.root, own)
        self._known = dict(remembered)
        self._sources = sources
        self._reaches: dict[str, Reach] = {}
        self._lock = threading.Lock()

    def begin(self, specs: Iterable[AssetSpec]) -> Seen:
        """What is to be filled in while the function of these assets runs."""
        return Seen(self.place, spec=next(iter(specs)))

    def settle(
        self, seen: Seen, specs: Iterable[AssetSpec], sources: Iterable[Observation]
    ) -> tuple[Discovered, tuple[FileState, ...]]:
        """What a step that has ended depends on beside its definition, and states of files that are worth keeping.

        `specs` are the assets that it makes, `sources` what was observed of the sources that it reads: what these name
        is no discovery.
        """
        opened, code = seen.read(), self._code(seen)
        if not (opened or code):
            return NOTHING_DISCOVERED, ()
        declared = {pattern for spec in specs for pattern in spec.files}
        observed = {state.path for one in sources for state in one.files}
        names = [name for name in opened if self._absolute(name) not in observed]
        if declared:
            named = _matching(self._root, declared, names)
            names = [name for name in names if name not in named]
        with self._lock:
            known = dict(self._known)
        now = FilesNow(self._root, lambda: known, time.time_ns())
        files = {name: _then(opened[name], *now.look(name)) for name in names}
        with self._lock:
            self._known.update(now.rehashed)
        return Discovered(files, code), tuple(now.rehashed.values())

    def _code(self, seen: Seen) -> dict[str, str]:
        """The modules that ran and that the definition does not reach, with what they say."""
        if not (seen.code or seen.modules):
            return {}
        from assetflow.run.reach import files_of_modules, with_imports

        strange = {place: step for place, step in dict(seen.code).items() if not self._is_reached(seen, *place)}
        names = {
            place[0]: None
            for place, step in strange.items()
            if step is None or step is seen or not self._is_reached(step, *place)
        }
        inside = [
            name for file in files_of_modules(list(seen.modules)) if (name := self.place.inside(file)) is not None
        ]
        names.update(dict.fromkeys(name for name in inside if not self._is_reached(seen, name, 0)))
        names = {name: None for name in names if name not in seen.written}
        if not names:
            return {}
        now = CodeNow(self._root)
        return {name: self._said(name, seen, now) for name in sorted(with_imports(names, self._root, now))}

    def _is_reached(self, seen: Seen | None, name: str, line: int) -> bool:
        spec = None if seen is None else seen.spec
        if spec is None:
            return False
        if spec.node not in self._reaches:
            from assetflow.run.reach import Reach

            self._reaches[spec.node] = Reach.of(spec, self._sources)
        return self._reaches[spec.node].covers(name, line)

    def _said(self, name: str, seen: Seen, now: CodeNow) -> str:
        """What a module says, which is known only if it is older than the step that ran it."""
        try:
            is_older = (self._root / name).stat().st_mtime_ns < seen.began_ns
        except OSError:
            return UNKNOWN
        return now[name] if is_older else UNKNOWN

    def _absolute(self, name: str) -> str:
        return str(self._root / name)


def _then(before: Times | None, digest: str, after: Times | None) -> str:
    """What a file was when it was read, which is known only if it is still what it was when it was opened."""
    return digest if before == after or (before is not None and digest == UNREADABLE) else UNKNOWN


def _matching(root: Path, declared: Iterable[str], names: Iterable[str]) -> set[str]:
    """Those of the names that are declared: outright, below a folder, or by a pattern."""
    import glob

    found: set[str] = set()
    plain = [one.removeprefix("./").rstrip("/") for one in declared if not any(mark in one for mark in "*?[")]
    for one in declared:
        if any(mark in one for mark in "*?["):
            found.update(name.replace(os.sep, "/") for name in glob.glob(one, root_dir=root, recursive=True))  # noqa: PTH207
    found.update(name for name in names for one in plain if name == one or name.startswith(f"{one}/"))
    return found
