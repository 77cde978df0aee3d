"""Reading every stored version: each file is hashed here, and each table decoded in processes that may die of it.

A file that was written by somebody else can make a decoder crash. So a decoder never gets one whose bytes are not those
that we wrote, as far as that is recorded, and when it dies anyway, that is one more thing that is wrong with a version.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from msgspec.structs import asdict

from assetflow.errors import AssetflowError
from assetflow.files import is_of_the_disk
from assetflow.io.inspect import has_sidecar, problems_of
from assetflow.load.settings import Settings
from assetflow.model.records import Version

_START = "import sys; sys.path.append(sys.argv[1]); from assetflow.care.child import main; main(*sys.argv[2:])"


def verify_deep(
    settings: Settings,
    versions: Sequence[Version],
    *,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
    unsure: dict[int, str] | None = None,
) -> dict[int, list[str]]:
    """What is wrong with the content of these versions, by version id; those that are well are not in it.

    Why a version could not be looked at (no memory, a file that another program holds) goes into `unsure`.
    """
    problems: dict[int, list[str]] = {}
    waiting = list(reversed(versions))
    lock = threading.Lock()
    not_seen = {} if unsure is None else unsure
    done = 0

    def work() -> None:
        nonlocal done
        with _Reader(settings) as reader:
            while True:
                with lock:
                    if not waiting:
                        return
                    version = waiting.pop()
                found = _file_problems(settings, version) or reader.problems(version)
                with lock:
                    done += 1
                    if isinstance(found, str):
                        not_seen[version.version_id] = found
                    elif found:
                        problems[version.version_id] = found
                    if on_progress is not None:
                        on_progress(done, len(versions))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(versions)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems


def _file_problems(settings: Settings, version: Version) -> list[str] | str:
    try:
        return problems_of(settings.storage_path, version, is_whole=True)
    except AssetflowError as error:
        return error.what


class _Reader:
    """A child process that reads one version after the other; a new one is started when it has died."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def problems(self, version: Version) -> list[str] | str:
        """What is wrong with a version, as the child sees it, or why it does not."""
        child = self._child or self._start()
        try:
            stdin, stdout = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
            stdin.write(json.dumps(asdict(version)).encode() + b"\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = b""
        is_hashed = has_sidecar(self._settings.storage_path, version.location)  # and found to be what we wrote
        if answer.endswith(b"\n"):
            found: list[str] | str = json.loads(answer)
            is_of_disk = isinstance(found, list) and any(map(is_of_the_disk, found))
            return "; ".join(found) if is_hashed and is_of_disk else found
        code = self._end()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if code == -9 or is_hashed:
            # Killed from outside, or it died of bytes that are those we wrote: that is no damage.
            return f"the process that read it died ({how})"
        return [f"the process that read it died ({how})"]

    def _start(self) -> subprocess.Popen[bytes]:
        home = str(Path(__file__).parents[2])
        settings = self._settings
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, home, str(settings.storage_path), str(settings.warehouse_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self._child

    def _end(self) -> int:
        child, self._child = self._child, None
        if child is None:
            return 0
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # what it was to be told last, it is not there to hear
                    stream.close()
        return child.wait()
