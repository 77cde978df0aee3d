"""Runs the tests, or with --check everything that must pass, on a machine with only Python 3.11+ and a network.

    python3 tests/run.py [pytest arguments]            for example: tests/unit -k staleness -x
    python3 tests/run.py --check [pytest arguments]    lint, format, layers, types, spelling, then the tests

Packages are installed into `.venv` with the versions and hashes of `.ci/dev.lock`, the project itself as an editable
install; both only when the lock, pyproject.toml or the environment changed. Paths are seen from the repository's root.
This file imports only the standard library and nothing of assetflow: it runs before either is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
LOCK = ROOT / ".ci" / "dev.lock"
STAMP = VENV / "dev.stamp"
OLDEST = (3, 11)
ROOM_BYTES = 6 << 30
"""How much free memory tests are given to write to, if there is so much; they need about a tenth of it."""

# Where these are set, pip or Python would look at or install to another place than the environment.
FOREIGN = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONSTARTUP", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__",
    "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIREMENT", "PIP_CONSTRAINT",
)  # fmt: skip


class SetupError(Exception):
    """The environment cannot be made; the text says what to do."""


def main(arguments: Sequence[str]) -> int:
    """The exit code: pytest's own, or with --check 1 when anything failed; 2 when there is no environment."""
    rest = [argument for argument in arguments if argument != "--check"]
    try:
        prepare()
    except SetupError as problem:
        print(f"tests/run.py: {problem}", file=sys.stderr)
        return 2
    with in_memory():
        return check_everything(rest) if len(rest) < len(arguments) else run(pytest_command(rest))


# ---------------------------------------------------------------------------------------------- the environment


def prepare() -> None:
    """Leaves `.venv` with what the lock says and the project installed editable; quick when it is so already."""
    if sys.version_info < OLDEST:
        raise SetupError(
            f"Python {sys.version.split()[0]} is too old\nFix: run it with Python 3.11 or newer, e.g. python3.11"
        )
    version = version_of(PYTHON)
    if version is None:
        make_environment()
        version = version_of(PYTHON)
    if version is None or version < OLDEST:
        raise SetupError(f"{PYTHON} does not run Python 3.11 or newer\nFix: delete {VENV} and run this again")
    wanted = fingerprint(version)
    if STAMP.is_file() and STAMP.read_text() == wanted and is_editable():
        return
    STAMP.unlink(missing_ok=True)  # written again only when all is installed, so an interrupted install is repeated
    if run([str(PYTHON), "-c", "import pip"], quiet=True) != 0:  # as in an environment that `uv venv` made
        must([str(PYTHON), "-m", "ensurepip", "--default-pip"], "the environment has no pip")
    offer_strace()
    print("installing the development packages into .venv", file=sys.stderr, flush=True)
    pip("--require-hashes", "-r", str(LOCK))
    pip("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    STAMP.write_text(wanted)


def version_of(python: Path) -> tuple[int, int] | None:
    """Major and minor version of an interpreter, or None when it is not there or does not start."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=environment())
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = found.stdout.split()
    return int(major), int(minor)


def make_environment() -> None:
    """Makes `.venv` anew; on Debian, where venv is a package of its own, installs that first if it may."""
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if not has_venv():
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        if shutil.which("apt-get") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
            raise SetupError(
                "this Python has no venv module with pip, which makes the environment\n"
                f"Fix: install it (Debian, Ubuntu: sudo apt-get install {package}), then run this again"
            )
        print(f"installing {package}", file=sys.stderr, flush=True)
        run(["apt-get", "update", "-qq"])
        must(["apt-get", "install", "-y", "-qq", package], f"Debian's {package} could not be installed")
    must(command, "the environment could not be made")


def offer_strace() -> None:
    """Installs strace where it may: the tests of power losses and of system calls are skipped without it."""
    can_install = shutil.which("apt-get") is not None and hasattr(os, "geteuid") and os.geteuid() == 0
    if sys.platform == "linux" and shutil.which("strace") is None and can_install:
        print("installing strace", file=sys.stderr, flush=True)
        run(["apt-get", "update", "-qq"], quiet=True)
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "strace"], quiet=True)


def has_venv() -> bool:
    """Whether `python -m venv` can make an environment with pip in it; a fresh process sees what was just installed."""
    return run([sys.executable, "-c", "import venv, ensurepip"], quiet=True) == 0


def fingerprint(version: tuple[int, int]) -> str:
    """Changes when what is to be installed does."""
    content = b"\0".join(
        [LOCK.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), repr((version, str(ROOT))).encode()]
    )
    return hashlib.sha256(content).hexdigest()


def is_editable() -> bool:
    """Whether `.venv` runs this checkout: `pip install .` into it leaves a copy, which tests must not see."""
    records = [*VENV.glob("lib/python3*/site-packages/assetflow-*.dist-info/direct_url.json")]
    records += VENV.glob("Lib/site-packages/assetflow-*.dist-info/direct_url.json")
    found = [json.loads(record.read_text(encoding="utf-8")) for record in records]
    return (
        len(found) == 1 and found[0].get("url") == ROOT.as_uri() and bool(found[0].get("dir_info", {}).get("editable"))
    )


def pip(*arguments: str) -> None:
    """Runs `pip install` in `.venv`, showing only errors."""
    options = ["-qq", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    must([str(PYTHON), "-m", "pip", "install", *options, *arguments], "pip could not install what the tests need")


# ------------------------------------------------------------------------------------------------------ running


def pytest_command(arguments: Sequence[str]) -> list[str]:
    """The command line of the tests."""
    return [str(PYTHON), "-m", "pytest", *arguments]


def check_everything(pytest_arguments: Sequence[str]) -> int:
    """Runs every check even when one fails, the tests last; 1 when any failed."""
    python = str(PYTHON)
    checks = {
        "lint": [python, "-m", "ruff", "check", "--quiet", "--output-format", "concise", "."],
        "format": [python, "-m", "ruff", "format", "--check", "--quiet", "."],
        "layers": [str(BIN / "lint-imports"), "--no-logo", "--no-cache"],
        "types": [python, "-m", "pyright", "--pythonpath", python],
        "types as users see them": [python, "-m", "mypy", "--no-error-summary"],
        "spelling": [python, "-m", "codespell_lib"],
        "tests": pytest_command(pytest_arguments),
    }
    if not any((ROOT / "tests" / "typing").rglob("*.py")):
        del checks["types as users see them"]
    failed: list[str] = []
    for name, command in checks.items():
        print(f"-- {name}: {' '.join([Path(command[0]).name, *command[1:]])}", flush=True)
        if run(command) != 0:
            failed.append(name)
    print(f"-- failed: {', '.join(failed)}" if failed else f"-- all {len(checks)} checks are fine", flush=True)
    return 1 if failed else 0


def environment() -> dict[str, str]:
    """The caller's environment without what would lead elsewhere, and with `.venv` as the active environment."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    kept["VIRTUAL_ENV"] = str(VENV)
    kept["PATH"] = os.pathsep.join([str(BIN), kept.get("PATH", os.defpath)])
    kept["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"  # else it asks the network for a newer version of itself
    kept["DEBIAN_FRONTEND"] = "noninteractive"
    return kept


@contextlib.contextmanager
def in_memory() -> Iterator[None]:
    """Have tests write to memory where there is enough: they sync many thousand files. TMPDIR says otherwise."""
    memory = Path("/dev/shm")
    try:
        is_roomy = shutil.disk_usage(memory).free >= ROOM_BYTES and os.access(memory, os.W_OK)
    except OSError:
        is_roomy = False
    if not is_roomy or "TMPDIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="assetflow-tests-", dir=memory, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # as /tmp: tests that put off root's rights enter folders below by name
        os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            del os.environ["TMPDIR"]


def run(command: Sequence[str], *, quiet: bool = False) -> int:
    """The exit code of a command run at the repository's root; 130 when the user pressed Ctrl-C."""
    stream = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=stream, stderr=stream) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # it went to the whole group: pytest prints its summary and ends by itself


def must(command: Sequence[str], problem: str) -> None:
    """Runs a step of the setup, which cannot go on without it."""
    code = run(command)
    if code != 0:
        raise SetupError(f"{problem}: exit code {code}\n  command: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
