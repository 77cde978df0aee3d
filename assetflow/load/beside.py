"""Indexes of many files that were never indexed, made in a process beside the one that imports them.

Both take about as long, and neither needs the other. What a file says does not depend on who reads it, and an index
goes by the content of its file: one that changes meanwhile is indexed again by who imported it.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assetflow.fingerprint.files import index_key
from assetflow.fingerprint.index import index_of

if TYPE_CHECKING:
    import subprocess  # every load comes by here, and hardly any begins a process

_WORTH_BYTES = 40_000
"""Less text than this is indexed before another process has begun."""
_PATIENCE_S = 30.0
_SCRIPT = "import sys; sys.path += sys.argv[1:]; from assetflow.load.beside import main; main()"
"""The standard library comes first, then assetflow and what it imports: nothing there has a name of Python's own."""
_OURS = b"assetflow"
"""What a file says that declares something: all of these are indexed, of others only what their functions reach."""

Rows = dict[str, list[object]]
"""Indexes by `index_key`."""


class Beside:
    """A process that indexes files, or none."""

    def __init__(self, process: subprocess.Popen[bytes] | None = None) -> None:
        self._process = process

    def rows(self) -> Rows:
        """What it found, when it has ended; nothing when there is no such process, or it failed."""
        process, self._process = self._process, None
        if process is None:
            return {}
        import marshal
        import subprocess

        try:
            found = marshal.loads(process.communicate(timeout=_PATIENCE_S)[0])  # noqa: S302 - from our own child
        except (subprocess.SubprocessError, OSError, ValueError, EOFError, TypeError):
            found = {}
        finally:
            _end(process)
        return cast("Rows", found) if isinstance(found, dict) else {}

    def close(self) -> None:
        """End the process, if nobody has asked what it found."""
        if self._process is not None:
            _end(self._process)
            self._process = None


@contextmanager
def indexing_beside(root: Path, names: Iterable[str]) -> Generator[Beside]:
    """Let another process index the files of these modules and packages while the block runs, where it is worth it."""
    files = list(_files_of(root, names)) if _processors() > 1 else []
    beside = Beside(_begun(files) if _size(files) >= _WORTH_BYTES else None)
    try:
        yield beside
    finally:
        beside.close()


def main() -> None:
    """The other process: the paths come by standard input, the indexes go to standard output."""
    import marshal

    found: Rows = {}
    for path in marshal.loads(sys.stdin.buffer.read()):  # noqa: S302 - from our own parent
        with suppress(OSError, SyntaxError, ValueError, RecursionError):
            content = Path(path).read_bytes()
            if _OURS not in content:
                continue
            found[index_key(content)] = index_of(ast.parse(content, path), content).row
    sys.stdout.buffer.write(marshal.dumps(found))


def _files_of(root: Path, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        for folder in (root, root / "src"):
            place = folder.joinpath(*name.split("."))
            yield from map(str, place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")])


def _begun(files: Sequence[str]) -> subprocess.Popen[bytes] | None:
    import marshal
    import subprocess

    import msgspec

    homes = [str(Path(__file__).parents[2]), str(Path(msgspec.__file__).parents[1])]
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SCRIPT, *homes],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None
    try:
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(marshal.dumps([*files]))
    except OSError:
        _end(process)
        return None
    process.stdin = None
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.wait()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _size(files: Iterable[str]) -> int:
    total = 0
    for file in files:
        with suppress(OSError):
            total += os.stat(file).st_size  # noqa: PTH116
    return total
