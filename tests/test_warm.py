"""A process that begins warm says and ends as one that Python was started for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.warm import CLIENT, IS_POSSIBLE, ROOT, Server

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="needs pidfds")

ENDS = {
    "what it was given": [
        "-c",
        "import os, sys; print(sys.argv, sys.path, os.getcwd(), sorted(os.environ))",
        "a",
        "b c",
    ],
    "without the folder": ["-P", "-c", "import sys; print(sys.path, sys.argv)", "a"],
    "a code": ["-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"],
    "a text": ["-c", "raise SystemExit('no')"],
    "a signal": ["-c", "import os; print('said', flush=True); os.kill(os.getpid(), 9)"],
    "exit functions": ["-c", "import atexit; atexit.register(print, 'last'); print('first')"],
    "threads": ["-c", "import threading, time; threading.Timer(0.05, print, ['done']).start()"],
    "ctrl-c": [
        "-c",
        "import os, signal, time\ntry: os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt: print(1)",
    ],
    "the zone": ["-c", "import time; print(time.localtime(0).tm_hour)"],
    "no module is left": ["-c", "import sys; print('tests.warm' in sys.modules, 'array' in dir())"],
    "a module": ["-m", "assetflow", "--version"],
    "a refusal": ["-m", "assetflow", "plan"],
}


@pytest.mark.parametrize("words", ENDS.values(), ids=ENDS)
def test_it_says_and_ends_as_a_cold_one(words: Sequence[str], warm: Server, tmp_path: Path) -> None:
    env = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
    command = [sys.executable, *words]
    cold = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    found = warm.run(command, cwd=tmp_path, env=env)

    assert (found.returncode, found.stdout, found.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_an_exception_is_told_and_the_code_is_one(warm: Server) -> None:
    found = warm.run([sys.executable, "-c", "def f(): 1 / 0\nf()"], env={})

    assert found.returncode == 1
    assert found.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_what_does_not_end_is_ended(warm: Server, tmp_path: Path) -> None:
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    with pytest.raises(TimeoutError):
        warm.run([sys.executable, "-c", code], cwd=tmp_path, env={}, timeout=2)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_shell_reaches_it_by_the_client(warm: Server, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-S",
        CLIENT,
        warm.address,
        "-c",
        "import sys; print(sys.stdin.read(), 'pandas' in sys.modules)",
    ]
    done = subprocess.run(command, input="said", cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "said True\n")
