"""What modules read while they are imported: files, folders and environment variables that the load depends on.

Python announces opened files and listed folders by audit events. Reading by native code (`pyarrow`, `duckdb`, `polars`)
is not announced; a project that does that at import time needs `--reload` when such a file changes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from msgspec import Struct, field

_LISTING = frozenset(["os.scandir", "os.listdir"])
_NOT_THE_USER = (
    "<frozen importlib._bootstrap_external>", "<frozen importlib._bootstrap>", "<frozen zipimport>",
    str(Path(__file__).with_name("modules.py")),
    str(Path(os.__file__).parent / "importlib" / "metadata" / "__init__.py"),
)  # fmt: skip
"""Code that looks for modules and installed packages; the manifest looks at those by itself."""


class Reads(Struct):
    """Absolute paths of opened files and listed folders under the root, and names of variables that were looked up.

    `whole_environment` says that somebody went through all variables; `environment` holds them as they were before the
    import, because what the import itself sets will not be set for the next process.
    """

    files: set[str] = field(default_factory=set[str])
    folders: set[str] = field(default_factory=set[str])
    variables: set[str] = field(default_factory=set[str])
    whole_environment: bool = False
    environment: dict[str, str] = field(default_factory=dict[str, str])


class _Watch:
    """The one audit hook of this process: Python cannot remove one, so it is installed once and told where to write."""

    def __init__(self) -> None:
        self.installed = False
        self.root = ""
        self.reads: Reads | None = None

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.reads is None or (event != "open" and event not in _LISTING):
            return
        path = _path(arguments[0] if arguments else None)
        if path is None:
            return
        if sys._getframe(1).f_code.co_filename in _NOT_THE_USER:  # pyright: ignore[reportPrivateUsage]
            return
        full = path if path.startswith(self.root) else str(Path(path).absolute())
        if not full.startswith(self.root) or "/.assetflow/" in full or full.endswith((".py", ".pyc")):
            return
        if event == "open":
            if _is_reading(arguments):
                self.reads.files.add(full)
        else:
            self.reads.folders.add(full)


def _path(argument: object) -> str | None:
    if isinstance(argument, os.PathLike):
        argument = os.fspath(cast("os.PathLike[str] | os.PathLike[bytes]", argument))
    if isinstance(argument, bytes):
        argument = os.fsdecode(argument)
    return argument if isinstance(argument, str) else None


_WATCH = _Watch()


@contextmanager
def watch_reads(root: Path, reads: Reads) -> Generator[None]:
    """While it lasts, note what this process opens and lists under `root`, and the variables that it asks for."""
    if not _WATCH.installed:
        sys.addaudithook(_WATCH)
        _WATCH.installed = True
    _WATCH.root, _WATCH.reads = str(root), reads
    reads.environment = dict(os.environ)
    ordinary = type(os.environ)

    class Recording(ordinary):
        """The environment, noting what is looked up. `get` and `in` come through here as well."""

        def __getitem__(self, key: str) -> str:
            reads.variables.add(key)
            return super().__getitem__(key)

        def __iter__(self) -> Iterator[str]:
            reads.whole_environment = True
            return super().__iter__()

    # The object must stay the same one, since modules hold it by `from os import environ`; so its class is exchanged.
    os.environ.__class__ = Recording
    try:
        yield
    finally:
        os.environ.__class__ = ordinary
        _WATCH.reads = None


def _is_reading(arguments: tuple[object, ...]) -> bool:
    mode = arguments[1] if len(arguments) > 1 else None
    if isinstance(mode, str):
        return "r" in mode or "+" in mode
    flags = arguments[2] if len(arguments) > 2 else 0
    return not (isinstance(flags, int) and flags & os.O_WRONLY)
