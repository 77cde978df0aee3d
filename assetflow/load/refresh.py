"""Loading a project in a process of its own, so that one that hangs, prints or crashes on import does no harm here."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assetflow.errors import (
    DefinitionError,
    ImportFailed,
    Location,
    ProjectLoadError,
    error_classes,
)
from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.manifest import Manifest, read_manifest
from assetflow.load.settings import Settings, settings_to_json
from assetflow.model.code import sources_from_json
from assetflow.model.sensors import automation_from_json
from assetflow.model.spec import spec_from_json

if TYPE_CHECKING:
    import subprocess

_FRAME = re.compile(r'  File "([^"]+)", line (\d+) in (.+)')
_START = "import sys; sys.path.append(sys.argv[1]); from assetflow.load.child import main; main(sys.argv[2])"


def load_note(settings: Settings) -> Path:
    """The file that is there while a process loads the project for itself, and stays when it dies over it."""
    return settings.root / ".assetflow" / "cache" / "loading"


def refresh_in_child(settings: Settings, timeout_s: float = 30.0) -> Manifest:
    """The manifest of a fresh load, made in a child process within `timeout_s` seconds.

    What the project prints while it is imported is shown only when the load dies without an answer.

    Raises:
        ProjectLoadError: with everything that is wrong; also when the project did not load in time.
    """
    import shutil

    folder = Path(tempfile.mkdtemp(prefix="assetflow-load-"))
    try:
        request = {"settings": settings_to_json(settings), "timeout_s": timeout_s}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        in_time, exit_code = _run(folder, timeout_s)
        answer = folder / "answer.json"
        if answer.is_file():
            with suppress(OSError):
                load_note(settings).unlink(missing_ok=True)
            return _manifest(settings, json.loads(answer.read_bytes()), folder)
        if in_time:
            raise ProjectLoadError([_death(folder, exit_code)])
        raise ProjectLoadError([hang(ProjectFiles([settings.root]), _frames(folder), timeout_s)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, timeout_s: float) -> tuple[bool, int]:
    """Run the child in `folder`; whether it ended in time, and its exit code."""
    import subprocess

    home = str(Path(__file__).parents[2])
    with open(folder / "output.txt", "wb") as output:
        # -P: the current folder must not shadow the standard library. The group of its own is what gets killed.
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, home, str(folder)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        ended = False
        try:
            child.wait(timeout_s + 1)  # the child writes the stack of a hang after `timeout_s`
            ended = True
        except subprocess.TimeoutExpired:
            return False, -1
        finally:
            if not ended:
                _kill(child)
    return not (folder / "stack.txt").stat().st_size, child.returncode


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started."""
    if hasattr(os, "killpg"):
        import signal

        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _manifest(settings: Settings, answer: Mapping[str, object], folder: Path) -> Manifest:
    if "problems" in answer:
        raise ProjectLoadError([_problem(one) for one in cast("list[dict[str, object]]", answer["problems"])])
    stored = read_manifest(settings)
    if stored is not None:
        return stored
    # The folder cannot be written, or a file was saved meanwhile: the answer is what the load found all the same.
    specs = tuple(spec_from_json(spec) for spec in cast("list[dict[str, object]]", answer["specs"]))
    sources = sources_from_json(json.loads((folder / "sources.json").read_bytes()))
    automation = automation_from_json(cast("dict[str, object]", answer["automation"]))
    files = tuple(cast("list[str]", answer["files"]))
    return Manifest(specs, files, cast("float", answer["loaded_at"]), sources, automation=automation)


def problem_to_json(problem: DefinitionError) -> dict[str, object]:
    """A problem as JSON-able values."""
    where = None if problem.where is None else problem.where.as_tuple()
    return {
        "code": problem.code, "what": problem.what, "facts": list(problem.facts), "fix": problem.fix, "where": where,
    }  # fmt: skip


def _problem(stored: Mapping[str, object]) -> DefinitionError:
    cls = cast("type[DefinitionError]", error_classes()[cast("str", stored["code"])])
    where = cast("tuple[str, int, int, int] | None", stored["where"])
    return cls(
        cast("str", stored["what"]),
        facts=cast("list[str]", stored["facts"]),
        fix=cast("str | None", stored["fix"]),
        where=None if where is None else Location(*where),
    )


def hang(files: ProjectFiles, frames: Sequence[tuple[str, int, str]], timeout_s: float) -> ImportFailed:
    """The error for a load that did not end. `frames` are file, line and function of where it was, innermost first."""
    ours = [frame for frame in frames if files.is_project(frame[0])]
    importing = next((path for path, _, name in ours if name == "<module>"), None)
    what = f"module `{files.relative(importing)}`" if importing else "the project"
    lines = [f"{files.relative(path)}:{line} in {name}" for path, line, name in (ours or frames)[:8]]
    return ImportFailed(
        f"{what} was still being imported after {timeout_s:g} s",
        facts=["it was here, innermost first:", *lines] if lines else [],
        fix="move slow work from the module into an asset function",
        where=Location(files.relative(ours[0][0]), ours[0][1]) if ours else None,
    )


def _frames(folder: Path) -> list[tuple[str, int, str]]:
    """Where a load that did not end was, as the child left it."""
    stack = folder / "stack.txt"
    text = stack.read_text(encoding="utf-8", errors="replace") if stack.is_file() else ""
    return [(path, int(line), name) for path, line, name in _FRAME.findall(text)]


def _death(folder: Path, exit_code: int) -> ImportFailed:
    output = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return ImportFailed(
        f"the process that imported the project died ({how})",
        facts=output[-12:],
        fix="import the project's modules in a Python shell to see what ends it",
    )
