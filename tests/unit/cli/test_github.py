"""In a job of GitHub Actions, failures are annotations at lines of code, and the page of the job gets a table."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from assetflow.cli.github import annotation, escaped, in_repository, markdown
from tests.unit.cli.conftest import Cli

ASSETS = '''
import pyarrow as pa
from assetflow import CheckResult, asset, check, not_null

Rows = list[dict]


@asset(checks=[not_null("n", blocking=False)])
def numbers() -> pa.Table:
    """A | and a <b>."""
    return pa.table({"n": [1, None]})


@asset
def bad(numbers: Rows) -> Rows:
    raise ValueError("50 % of it, a: b\\n::warning::and | more ```")


@asset
def after(bad: Rows) -> Rows:
    return bad


@asset
def odd() -> Rows:
    return [{"n": 1}]


@check(odd)
def is_even(odd: Rows) -> CheckResult:
    return CheckResult(False, "it is odd")
'''


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the project in a folder of it, in a job; the working directory is the project."""
    project = tmp_path / "checkout" / "jobs" / "shop"
    project.mkdir(parents=True)
    (project / "assets.py").write_text(ASSETS)
    (project / "assetflow.toml").write_text('modules = ["assets"]\n')
    monkeypatch.chdir(project)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "checkout"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return tmp_path


def line_of(text: str) -> int:
    return 1 + next(n for n, line in enumerate(ASSETS.splitlines()) if text in line)


def read_annotations(err: str) -> list[tuple[str, dict[str, str], str]]:
    """Level, properties and message, read as GitHub reads them."""
    found: list[tuple[str, dict[str, str], str]] = []
    for line in err.splitlines():
        match = re.fullmatch(r"::(error|warning) ([^:]*)::(.*)", line)
        if match is not None:
            given = dict(pair.split("=", 1) for pair in match[2].split(","))
            found.append((match[1], {name: unquote(value) for name, value in given.items()}, unquote(match[3])))
    return found


def test_failures_and_warnings_are_annotations_at_their_lines(job: Path, cli: Cli) -> None:
    screen = cli("materialize", "-j", "1")

    assert screen.code == 1
    found = read_annotations(screen.err)
    file = "jobs/shop/assets.py"
    assert sorted(found, key=lambda one: one[1]["title"]) == [
        ("error", {"file": file, "line": str(line_of("raise ValueError")), "title": "bad failed"},
         "ValueError: 50 % of it, a: b\n::warning::and | more ```\ninput numbers@1 · 2 rows"),
        ("warning", {"file": file, "line": str(line_of("def numbers")), "title": "numbers: check not_null(n) warns"},
         found[[one[1]["title"] for one in found].index("numbers: check not_null(n) warns")][2]),
        ("error", {"file": file, "line": str(line_of("def odd")), "title": "odd rejected"},
         "check `is_even` of odd failed: it is odd"),
    ]  # fmt: skip


def test_progress_is_folded_and_the_answer_is_not(job: Path, cli: Cli) -> None:
    screen = cli("materialize")

    lines = screen.err.splitlines()
    assert lines[0] == "::group::assetflow run #1, env dev"
    end = lines.index("::endgroup::")
    assert all("run=1" in line or line.startswith("::") for line in lines[1:end])
    assert " run=1 end ok=false" in lines[end + 1]


def test_what_an_error_says_is_no_command(job: Path, cli: Cli) -> None:
    screen = cli("materialize")

    assert not [line for line in screen.out.splitlines() if line.lstrip().startswith("::")]
    assert "     : :warning::and | more" in screen.out
    logs = cli("logs", "bad").out
    assert not [line for line in logs.splitlines() if line.lstrip().startswith("::")]


def test_standard_output_is_one_document_with_json(job: Path, cli: Cli) -> None:
    screen = cli("materialize", "--json")

    assert screen.document["data"]["counts"]["failed"] == 1
    assert "::error file=" in screen.err


def test_a_run_is_unfolded_though_it_breaks_off(job: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, result: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("assetflow.cli.progress.PlainWatcher.step_finished", broken)

    assert "::endgroup::" in cli("materialize").err.splitlines()


def test_the_page_of_the_job_gets_a_table_of_the_run(job: Path, cli: Cli) -> None:
    cli("materialize", "-j", "1")

    text = (job / "summary.md").read_text()
    assert text.startswith("### assetflow run #1 failed\n\n")
    table = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    assert {len(row) for row in rows} == {7}
    assert [row[1:3] for row in rows[2:]] == [
        ["`bad`", "failed"], ["`odd`", "rejected"], ["`after`", "blocked"], ["`numbers`", "materialized"],
    ]  # fmt: skip
    assert rows[2][6] == "ValueError: 50 % of it, a: b"
    assert rows[5][3:5] == ["v1", "2"]
    assert "check not\\_null(n) warns" in rows[5][6]
    assert "````text\nValueError: 50 % of it, a: b\n::warning::and | more ```\n" in text
    assert "input numbers@1 · 2 rows" in text


def test_each_command_adds_to_the_page(job: Path, cli: Cli) -> None:
    cli("plan")
    cli("materialize", "numbers")
    cli("materialize", "numbers")

    text = (job / "summary.md").read_text()
    assert re.findall("^### (.*)$", text, re.MULTILINE) == [
        "assetflow plan for shop", "assetflow run #1 is fine", "assetflow: nothing to do",
    ]  # fmt: skip
    assert "| run | `numbers` | never materialized |" in text


@pytest.mark.parametrize("verb", ["plan", "materialize"])
def test_a_page_that_cannot_be_written_is_a_warning(
    job: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))

    screen = cli(verb, "numbers")

    assert screen.code == 0
    assert "warning: the summary of the job cannot be written: Is a directory" in screen.err


def test_problems_of_the_project_are_annotations(job: Path, cli: Cli) -> None:
    Path("assets.py").write_text(ASSETS.replace("def bad(numbers", "def bad(numbers_"))

    screen = cli("plan")

    assert screen.code == 3
    ((level, place, text),) = read_annotations(screen.err)
    assert (level, place["file"], place["line"]) == ("error", "jobs/shop/assets.py", str(line_of("def bad")))
    assert text.startswith("asset `bad` needs `numbers_`")


def test_elsewhere_there_is_nothing_of_this(job: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")

    screen = cli("materialize")

    assert "::error" not in screen.err
    assert "::group" not in screen.err
    assert not (job / "summary.md").exists()


def test_workflow_commands_are_escaped() -> None:
    assert escaped("100 %\r\na: b, c") == "100 %25%0D%0Aa: b, c"
    assert annotation("error", "a,b:c.py", 3, "50 %: x", "one\ntwo") == (
        "::error file=a%2Cb%3Ac.py,line=3,title=50 %25%3A x::one%0Atwo"
    )
    assert annotation("warning", None, 3, "x", "y") == "::warning title=x::y"


def test_files_outside_of_the_checkout_have_no_place(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = job / "checkout" / "jobs" / "shop"
    assert in_repository("assets.py", root) == "jobs/shop/assets.py"
    assert in_repository(str(root / "assets.py"), root) == "jobs/shop/assets.py"
    assert in_repository("/somewhere/else.py", root) is None
    monkeypatch.delenv("GITHUB_WORKSPACE")
    assert in_repository("assets.py", root) == "assets.py"


def test_text_means_nothing_but_itself_in_markdown() -> None:
    assert markdown("a | b\n<img> `x` *y* [z](u)") == "a \\| b \\<img\\> \\`x\\` \\*y\\* \\[z\\](u)"
