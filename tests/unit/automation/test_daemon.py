"""The loop of the daemon in this process: real children and signals, and a clock that only goes when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from assetflow.automation import daemon
from assetflow.automation.daemon import Daemon, Work
from assetflow.automation.declared import Declared, declared, with_manifest
from assetflow.automation.locks import sensor_lock
from assetflow.automation.rounds import see
from assetflow.automation.sensing import watch
from assetflow.errors import AssetflowError
from assetflow.load.manifest import Manifest
from assetflow.load.settings import Settings, read_settings

START = 1_772_323_200  # 1 March 2026


@dataclass
class Heard:
    """What the daemon told, and what is done each time."""

    lines: list[str] = field(default_factory=list[str])
    then: Callable[[str], None] = lambda _: None

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        self.then(line)

    def began(self, work: Work) -> None:
        self._hear(f"began {named(work)}")

    def ended(self, work: Work, code: int, answer: str) -> bool:
        self._hear(f"ended {named(work)}: {code} {answer.strip()}")
        return bool(answer)

    def alerted(self, code: int, answer: str) -> None:
        self._hear(f"alerted: {code} {answer.strip()}")

    def problem(self, error: AssetflowError) -> None:
        self._hear("problem")


def named(work: Work) -> str:
    return work.name if work.kind == "tick" else f"{work.kind} {work.name}".strip()


def known(settings: Settings) -> Declared:
    return with_manifest(settings, Manifest((), (), 0.0))


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def child(code: str) -> Callable[[Work], subprocess.Popen[str]]:
    return lambda work: subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def settings_of(folder: Path, text: str) -> Settings:
    (folder / "assets.py").write_text("")
    (folder / "assetflow.toml").write_text(text)
    return read_settings(folder, environment={})


def test_a_job_whose_process_gives_no_answer_is_left_alone_for_a_while(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[jobs.hourly]\ncron = "0 * * * *"\n')
    see(settings, START)
    now = [START + 3600.0]
    rounds: list[float] = []

    def clock() -> float:
        return now[0]

    def looked() -> Declared:
        rounds.append(now[0])
        if heard.lines.count("ended hourly: 3 ") == 2:
            end()
        elif "ended hourly: 3 " in heard.lines:
            now[0] += 10
            os.kill(os.getpid(), signal.SIGUSR1)  # look again at once
        return known(settings)

    heard = Heard()
    Daemon(looked, child("raise SystemExit(3)"), heard, clock).run()

    assert heard.lines == ["began hourly", "ended hourly: 3 "] * 2
    assert sum(at < START + 3630 for at in rounds) >= 3


def test_a_project_file_that_is_being_edited_is_told_once_and_read_again(tmp_path: Path) -> None:
    good = '[jobs.hourly]\ncron = "0 * * * *"\n'
    see(settings_of(tmp_path, good), START)
    texts = iter(["[jobs.hourly]\ncron = 7\n", "[jobs.hourly]\ncron = 7\n", good])

    def read() -> Declared:
        if (text := next(texts, None)) is not None:
            os.kill(os.getpid(), signal.SIGUSR1)
            (tmp_path / "assetflow.toml").write_text(text)
        return known(read_settings(tmp_path, environment={}))

    heard = Heard(then=lambda line: end() if line.startswith("ended") else None)
    Daemon(read, child("print('done')"), heard, lambda: START + 3600.0).run()

    assert heard.lines == ["problem", "began hourly", "ended hourly: 0 done"]


def test_runs_that_go_on_are_asked_to_stop_and_waited_for(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[jobs.hourly]\ncron = "0 * * * *"\n')
    see(settings, START)
    code = "import signal\nsignal.sigwait([signal.SIGTERM])\nprint('in order')"

    def start(work: Work) -> subprocess.Popen[str]:
        """A child that has SIGTERM blocked from its first moment, so that it cannot come too early."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            return child(code)(work)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    heard = Heard(then=lambda line: end() if line.startswith("began") else None)
    Daemon(lambda: known(settings), start, heard, lambda: START + 3600.0).run()

    assert heard.lines == ["began hourly", "ended hourly: 0 in order"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_it_sleeps_until_the_next_tick_and_never_for_long(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[jobs.hourly]\ncron = "0 * * * *"\n')
    see(settings, START)
    times = {START + 3599.0: 1.0, START + 10.0: daemon.SLEEP_S}

    found = {at: Daemon(lambda: known(settings), child(""), Heard(), lambda at=at: at)._round() for at in times}

    assert found == times


def test_a_project_that_does_not_load_is_loaded_again_after_a_while_and_its_jobs_go_on(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[jobs.hourly]\ncron = "0 * * * *"\n')
    see(settings, START)
    signal_file = tmp_path / "loaded"
    waits = f"import os, time\nwhile not os.path.exists({str(signal_file)!r}): time.sleep(0.01)\nprint('done')"

    def then(line: str) -> None:
        if line.startswith("ended load"):
            signal_file.touch()
        if line.startswith("ended hourly"):
            end()

    heard = Heard(then=then)
    unknown = Declared(settings, settings, None)
    Daemon(
        lambda: unknown, lambda work: child("" if work.kind == "load" else waits)(work), heard, lambda: START + 3600.0
    ).run()

    assert heard.lines == ["began hourly", "began load", "ended load: 0 ", "ended hourly: 0 done"]


LOOKS = """
from assetflow import asset, sensor

@asset
def orders() -> int:
    return 1

@sensor(every="1m", timeout=0.2)
def letters(context):
    return None
"""


def test_a_look_that_does_not_end_is_ended_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(daemon, "SLEEP_S", 0.05)
    (tmp_path / "assetflow.toml").write_text("")
    (tmp_path / "assets.py").write_text(LOOKS)
    found = declared(read_settings(tmp_path, environment={}))
    heard = Heard()

    def read() -> Declared:
        if len(heard.lines) == 2:
            end()
        return found

    Daemon(read, child("import time; time.sleep(60)"), heard, lambda: float(START)).run()

    assert heard.lines == ["began look letters", "ended look letters: -9 "]
    (one,) = watch(found, START + 1)
    assert one.last is not None
    assert (one.last.state, one.last.note, one.is_due) == ("failed", "its process died (signal 9)", False)
    assert watch(found, START + 60)[0].is_due
    assert watch(found, START - 1)[0].is_due  # the clock was set back
    with sensor_lock(found.settings, "letters") as lock:
        assert lock.acquire()
        assert Daemon(lambda: found, child(""), Heard(), lambda: START + 90.0)._round() == daemon.SLEEP_S
