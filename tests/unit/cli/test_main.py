from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assetflow.cli.main import main, split
from assetflow.cli.verbs import BY_NAME, SHOWN

REPOSITORY = Path(__file__).parents[3]

READING = (
    ["ls"], ["status"], ["status", "--freshness"], ["plan"], ["show", "total"], ["history", "total"], ["lineage"],
    ["runs"], ["runs", "show", "1"], ["logs"], ["config"], ["preview", "total"], ["sql", "select 1 as one"],
    ["explain"], ["explain", "AF101"], ["completion", "bash"], ["materialize"], [],
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "verb", "rest"),
    [
        (["ls"], "ls", []),
        (["-C", "x", "ls", "a"], "ls", ["-C", "x", "a"]),
        (["--project=x", "--json", "ls"], "ls", ["--project=x", "--json"]),
        (["-e", "ls", "plan"], "plan", ["-e", "ls"]),
        (["--json"], None, ["--json"]),
        ([], None, []),
    ],
)
def test_the_verb_is_found_between_global_options(arguments: list[str], verb: str | None, rest: list[str]) -> None:
    assert split(arguments) == (verb, rest)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_every_verb_answers_with_one_document(built: Path, cli, arguments: list[str]) -> None:
    screen = cli(*arguments, "--json")

    name = BY_NAME[arguments[0]].name if arguments else "home"
    assert screen.code == 0
    assert screen.document["schema"] == f"assetflow.{name}/1"
    assert screen.document["ok"] is True
    assert screen.document["warnings"] == []
    assert screen.document["data"]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["nope"], "AF001", 2),
        (["ls", "--nope"], "AF001", 2),
        (["ls", "--sort", "nope"], "AF001", 2),
        (["show"], "AF001", 2),
        (["show", "nope"], "AF021", 2),
        (["plan", "("], "AF022", 2),
        (["plan", "@total"], "AF023", 2),
        (["preview", "total@9"], "AF024", 2),
        (["runs", "show", "99"], "AF001", 2),
        (["sql", "drop table total"], "AF420", 2),
        (["explain", "AF999"], "AF001", 2),
        (["ls", "--tz", "Mars/Olympus"], "AF001", 2),
        (["materialize", "--wait", "soon"], "AF001", 2),
        (["materialize", "--set", "total"], "AF001", 2),
        (["-C", "/nowhere/at/all", "ls"], "AF002", 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_errors_are_documents_too(built: Path, cli, arguments: list[str], code: str, exit_code: int) -> None:
    screen = cli(*arguments, "--json")
    error = screen.document["error"]

    assert screen.code == exit_code
    assert screen.document["ok"] is False
    assert (error["code"], error["exit_code"]) == (code, exit_code)
    assert error["message"]
    assert screen.err == ""


def test_global_options_stand_before_and_after_the_verb(built: Path, cli, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = cli("-C", str(built), "--format", "csv", "ls", "total")
    after = cli("ls", "total", "--format", "csv", "-C", str(built))

    assert before == after
    assert before.code == 0


def test_options_may_stand_between_the_words_of_a_selection(built: Path, cli) -> None:
    assert cli("ls", "total", "--sort", "name", "doubled").out.count("\n") == 2


@pytest.mark.parametrize("verb", [name for verb in SHOWN for name in (verb.name, *verb.aliases)])
def test_every_verb_and_alias_has_help_with_its_options_and_examples(cli, verb: str) -> None:
    screen = cli(verb, "--help")

    assert screen.code == 0
    assert screen.out.startswith(f"usage: assetflow {BY_NAME[verb].name}")
    assert "examples:" in screen.out
    assert "--json" in screen.out


def test_help_lists_every_verb(cli) -> None:
    screen = cli("--help")

    assert all(f"\n  {verb.name} " in screen.out for verb in SHOWN)
    assert "__complete" not in screen.out


def test_help_comes_before_complaints(cli) -> None:
    assert cli("show", "--help").code == 0


def test_plain_tables_have_tabs_iso_times_and_no_glyphs(built: Path, cli) -> None:
    lines = cli("ls").out.splitlines()

    assert [line.split("\t")[0] for line in lines] == ["numbers", "doubled", "total"]
    assert all(line.isascii() and line.count("\t") == 8 for line in lines)
    assert lines[1].split("\t")[5].endswith("Z")


def test_an_exit_code_can_be_asked_for(project: Path, cli) -> None:
    assert cli("plan", "--exit-code").code == 0
    assert cli("status", "--exit-code").code == 0
    (project / "numbers.csv").write_text("n\n5\n")
    assert cli("plan", "--exit-code").code == 4
    assert cli("status", "--exit-code").code == 4
    assert cli("plan").code == 0


def test_a_failed_run_exits_with_1_and_says_what_to_do(project: Path, cli) -> None:
    (project / "numbers.csv").write_text("m\n5\n")
    screen = cli("materialize", "--progress", "none")

    assert screen.code == 1
    assert "KeyError: 'n'" in screen.out
    assert "❱" in screen.out
    assert screen.err.splitlines()[-1] == "error[AF160]: `doubled` failed, 1 blocked"
    assert "assetflow logs 2 doubled" in screen.err


def test_a_failed_run_as_a_document_has_the_outcomes_and_the_error(project: Path, cli) -> None:
    (project / "numbers.csv").write_text("m\n5\n")
    screen = cli("materialize", "--json")

    assert screen.code == 1
    assert screen.document["ok"] is False
    assert screen.document["error"]["code"] == "AF160"
    assert [one["state"] for one in screen.document["data"]["outcomes"]] == ["failed", "blocked"]


def test_events_are_json_lines_without_gaps_and_nothing_else_is_on_stdout(project: Path, cli) -> None:
    (project / "numbers.csv").write_text("n\n5\n")
    events = [json.loads(line) for line in cli("materialize", "--progress=jsonl").out.splitlines()]

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "run_started"
    assert events[-1]["type"] == "run_finished"
    assert {event["schema"] for event in events} == {"assetflow.event/1"}
    assert {event["asset"] for event in events if event["type"] == "asset_materialized"} == {"doubled", "total"}


def test_a_no_op_is_one_event(built: Path, cli) -> None:
    assert [json.loads(line)["type"] for line in cli("materialize", "--progress=jsonl").out.splitlines()] == [
        "nothing_to_do"
    ]


def test_quiet_leaves_only_the_answer(project: Path, cli) -> None:
    (project / "numbers.csv").write_text("n\n5\n")
    screen = cli("materialize", "-q")

    assert screen.err == ""
    assert "2 materialized" in screen.out


def test_dry_run_is_the_plan(project: Path, cli) -> None:
    (project / "numbers.csv").write_text("n\n5\n")
    screen = cli("materialize", "--dry-run")

    assert "RUN (1)" in screen.out
    assert len(cli("runs").out.splitlines()) == 1


def test_the_environment_can_be_chosen(project: Path, cli) -> None:
    assert cli("ls", "-e", "prod", "is:missing").out.count("missing") == 2
    assert cli("ls", "is:missing").out == ""
    assert "-e prod materialize" in cli("plan", "-e", "prod").out


def test_saved_selections_and_states_select(built: Path, cli) -> None:
    assert cli("ls", ":nightly").out.startswith("total\t")
    assert cli("ls", "is:current").out.count("\n") == 2


def test_a_bug_becomes_a_report_and_not_a_traceback(project: Path, cli, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("assetflow.project.Project.status", broken)
    screen = cli("ls")
    report = next((project / ".assetflow" / "crash").glob("*.txt"))

    assert screen.code == 70
    assert screen.err.startswith("internal error[AF900]: ZeroDivisionError: division by zero\n")
    assert str(report) in screen.err
    assert "Traceback" not in screen.err
    assert "Traceback" in report.read_text()
    assert "Traceback" in cli("ls", "--traceback", "full").err


def test_a_bug_as_a_document(project: Path, cli, monkeypatch) -> None:
    monkeypatch.setattr("assetflow.project.Project.status", lambda *_, **__: 1 / 0)
    screen = cli("ls", "--json")

    assert screen.document["error"]["code"] == "AF900"


def test_a_report_keeps_values_of_set_to_itself(project: Path, cli, monkeypatch) -> None:
    monkeypatch.setattr("assetflow.project.Project.materialize", lambda *_, **__: 1 / 0)
    cli("materialize", "--set", "total.password=hunter2")

    assert "hunter2" not in next((project / ".assetflow" / "crash").glob("*.txt")).read_text()


def test_an_interrupt_exits_with_130(built: Path, cli, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setenv("ASSETFLOW_SHORT", "0")  # else what was said before may be the answer
    monkeypatch.setattr("assetflow.project.Project.status", interrupted)
    screen = cli("ls")

    assert screen.code == 130
    assert screen.err == "interrupted\n"


def ls(stdout: int) -> subprocess.CompletedProcess[str]:
    """`ls` in a process of its own, that writes to this file."""
    return subprocess.run(
        [sys.executable, "-m", "assetflow", "ls"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip


def test_a_reader_that_goes_away_is_no_error(built: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = ls(writing)
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_answer_that_cannot_be_written_is_an_error(built: Path) -> None:
    with open("/dev/full", "w") as full:
        done = ls(full.fileno())

    assert done.returncode == 1
    assert "error[AF402]: standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_main_can_be_called_many_times_in_one_process(built: Path) -> None:
    assert [main(["ls", "--json"]) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("stream", ["1", "2"])
def test_closed_output_is_no_error(tmp_path: Path, stream: str) -> None:
    (tmp_path / "assetflow.toml").write_text("")
    (tmp_path / "assets.py").write_text("from assetflow import asset\n@asset\ndef one(): return 1\n")
    command = f'"{sys.executable}" -m assetflow -C "{tmp_path}" materialize {stream}>&-'

    done = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_deleted_working_directory_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd "{gone}" && rmdir "{gone}" && PYTHONPATH="{REPOSITORY}" "{sys.executable}" -m assetflow ls'

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "the working directory has been deleted" in done.stderr
    assert "Traceback" not in done.stderr


LEAVING = """
import atexit, os, threading, time
from pathlib import Path
from assetflow import asset

class Fragile:
    def __del__(self):
        os.abort()  # as a native library does whose threads are still at work when Python takes itself apart

fragile = Fragile()
atexit.register(lambda: Path("exit-function").touch())
started = threading.Event()

def work():
    started.set()
    threading.main_thread().join()  # so it ends after the command has
    Path("thread").touch()

threading.Thread(target=work).start()

@asset
def one() -> int:
    started.wait()
    return 1
"""


@pytest.mark.parametrize(("declared", "code"), [("", 0), ("\n@asset\ndef two() -> int:\n    return 1 // 0\n", 1)])
def test_threads_and_exit_functions_end_and_then_the_process_leaves_at_once(
    tmp_path: Path, declared: str, code: int
) -> None:
    (tmp_path / "assetflow.toml").write_text("")
    (tmp_path / "assets.py").write_text(LEAVING + declared)

    command = [sys.executable, "-m", "assetflow", "materialize", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, json.loads(done.stdout)["ok"]) == (code, code == 0), done.stderr
    assert (tmp_path / "exit-function").exists()
    assert (tmp_path / "thread").exists()
