"""The loop of the daemon in this process: real children and signals, and a clock that only goes when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from assetflow.automation import daemon
from assetflow.automation.daemon import Daemon
from assetflow.automation.rounds import JobState, see
from assetflow.errors import AssetflowError
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

    def began(self, state: JobState) -> None:
        self._hear(f"began {state.job.name}")

    def ended(self, job: str, code: int, answer: str) -> bool:
        self._hear(f"ended {job}: {code} {answer.strip()}")
        return bool(answer)

    def alerted(self, code: int, answer: str) -> None:
        self._hear(f"alerted: {code} {answer.strip()}")

    def problem(self, error: AssetflowError) -> None:
        self._hear("problem")


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def child(code: str) -> Callable[[str], subprocess.Popen[str]]:
    return lambda job: subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


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

    def looked() -> Settings:
        rounds.append(now[0])
        if heard.lines.count("ended hourly: 3 ") == 2:
            end()
        elif "ended hourly: 3 " in heard.lines:
            now[0] += 10
            os.kill(os.getpid(), signal.SIGUSR1)  # look again at once
        return settings

    heard = Heard()
    Daemon(looked, child("raise SystemExit(3)"), heard, clock).run()

    assert heard.lines == ["began hourly", "ended hourly: 3 "] * 2
    assert sum(at < START + 3630 for at in rounds) >= 3


def test_a_project_file_that_is_being_edited_is_told_once_and_read_again(tmp_path: Path) -> None:
    good = '[jobs.hourly]\ncron = "0 * * * *"\n'
    see(settings_of(tmp_path, good), START)
    texts = iter(["[jobs.hourly]\ncron = 7\n", "[jobs.hourly]\ncron = 7\n", good])

    def read() -> Settings:
        if (text := next(texts, None)) is not None:
            os.kill(os.getpid(), signal.SIGUSR1)
            (tmp_path / "assetflow.toml").write_text(text)
        return read_settings(tmp_path, environment={})

    heard = Heard(then=lambda line: end() if line.startswith("ended") else None)
    Daemon(read, child("print('done')"), heard, lambda: START + 3600.0).run()

    assert heard.lines == ["problem", "began hourly", "ended hourly: 0 done"]


def test_runs_that_go_on_are_asked_to_stop_and_waited_for(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[jobs.hourly]\ncron = "0 * * * *"\n')
    see(settings, START)
    code = "import signal\nsignal.sigwait([signal.SIGTERM])\nprint('in order')"

    def start(job: str) -> subprocess.Popen[str]:
        """A child that has SIGTERM blocked from its first moment, so that it cannot come too early."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            return child(code)(job)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    heard = Heard(then=lambda line: end() if line.startswith("began") else None)
    Daemon(lambda: settings, start, heard, lambda: START + 3600.0).run()

    assert heard.lines == ["began hourly", "ended hourly: 0 in order"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_it_sleeps_until_the_next_tick_and_never_for_long(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[jobs.hourly]\ncron = "0 * * * *"\n')
    see(settings, START)
    times = {START + 3599.0: 1.0, START + 10.0: daemon.SLEEP_S}

    found = {at: Daemon(lambda: settings, child(""), Heard(), lambda at=at: at)._round() for at in times}

    assert found == times
