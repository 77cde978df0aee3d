"""Verbs whose answer is not a golden screen: files, formats, data."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from assetflow.cli.planning import config_values
from assetflow.errors import UsageError


@pytest.mark.parametrize(
    ("form", "beginning"),
    [("mermaid", "flowchart LR"), ("dot", "digraph"), ("svg", "<svg"), ("html", "<!doctype html>"), ("json", "{")],
)
def test_lineage_is_drawn_to_stdout_or_into_a_file(project: Path, cli, form: str, beginning: str) -> None:
    drawn = cli("lineage", "--format", form).out
    written = cli("lineage", "--format", form, "-o", "picture")

    assert drawn.lower().startswith(beginning.lower())
    assert (project / "picture").read_text().lower().startswith(beginning.lower())
    assert written.out == f" written picture ({form}, 3 assets)\n"


def test_the_ending_of_a_file_chooses_the_format(project: Path, cli) -> None:
    assert cli("lineage", "-o", "a.mmd").code == 0
    assert (project / "a.mmd").read_text().startswith("flowchart")
    assert cli("lineage", "-o", "a.jpg").code == 2


def test_a_file_that_cannot_be_written_is_an_error(built: Path, cli) -> None:
    assert cli("lineage", "-o", "missing/folder.svg").code == 1


def test_lineage_goes_up_and_down_so_far(built: Path, cli) -> None:
    def keys(*arguments: str) -> list[str]:
        return [node["key"] for node in cli("lineage", *arguments, "--json").document["data"]["nodes"]]

    assert keys("doubled") == ["doubled"]
    assert keys("doubled", "--up") == ["numbers", "doubled"]
    assert keys("doubled", "--down") == ["doubled", "total"]
    assert keys("total", "-d", "1") == ["doubled", "total"]


@pytest.mark.parametrize("at", ["HEAD~1", "prod", "v3", "run:x", ""])
def test_sql_at_what_is_no_time_and_no_run_says_how_to_write_one(built: Path, cli, at: str) -> None:
    answer = cli("sql", "--at", at, "select 1")
    assert answer.code == 2
    assert f"`--at` takes a time or a run, not `{at}`" in answer.err
    assert "--at 2026-11-20, --at 2026-11-20T10:00 or --at run:41" in answer.err
    assert "as_of" not in answer.err
    assert cli("sql", "--at", "2026-11-20", "select 1").code == cli("sql", "--at", "run:1", "select 1").code == 0


def test_a_word_that_names_no_version_is_answered_with_the_ways_to_name_one(built: Path, cli) -> None:
    answer = cli("preview", "doubled@abc")
    assert "there is no environment `abc`" in answer.err
    assert "write a number (3), HEAD~1, a day" in answer.err


def test_an_environment_of_which_nothing_is_recorded_is_said_with_those_that_there_are(built: Path, cli) -> None:
    note = "nothing is recorded in env prd yet; there are: dev"
    for verb in ("status", "ls"):
        assert note in cli("-e", "prd", verb).err
        assert "nothing is recorded" not in cli(verb).err
    assert cli("-e", "prd", "status", "--json").document["data"]["env"] == "prd"


def test_a_project_without_any_environment_has_no_such_note(project: Path, cli) -> None:
    assert "nothing is recorded" not in cli("status").err


def test_sql_reads_text_a_file_and_stdin(built: Path, cli, tmp_path: Path, monkeypatch) -> None:
    import io

    query = "select 1 as one, 'x' as word"
    (tmp_path / "q.sql").write_text(query)
    monkeypatch.setattr("sys.stdin", io.StringIO(query))

    assert cli("sql", query).out == "1\tx\n"
    assert cli("sql", "-f", str(tmp_path / "q.sql")).out == "1\tx\n"
    assert cli("sql", "-").out == "1\tx\n"
    assert cli("sql").code == 2
    assert cli("sql", "select 1", "-f", "x").code == 2


def test_sql_says_when_rows_are_missing(built: Path, cli) -> None:
    screen = cli("sql", "select * from range(5)", "--limit", "2", "--json")

    assert screen.document["data"]["rows"] == [[0], [1]]
    assert screen.document["data"]["truncated"] is True
    assert screen.document["warnings"]
    assert len(cli("sql", "select * from range(1500)").out.splitlines()) == 1000
    assert len(cli("sql", "select * from range(1500)", "--limit", "0").out.splitlines()) == 1500


def test_sql_writes_files(built: Path, cli, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table, text = tmp_path / "out.parquet", tmp_path / "out.csv"
    cli("sql", "select * from range(1500)", "-o", str(table))
    cli("sql", "select 1 as a, 'x,y' as b", "-o", str(text))

    assert pq.read_table(table).num_rows == 1500
    assert text.read_text() == 'a,b\n1,"x,y"\n'
    assert cli("sql", "select 1", "-o", "x.xlsx").code == 2


def test_values_of_set_are_text_unless_they_look_like_json() -> None:
    assert config_values(["a.b=1", "marts.a.c=[1, 2]", "a.d=null", "a.e=x=y", 'a.f="q"']) == {
        "a": {"b": "1", "d": None, "e": "x=y", "f": "q"},
        "marts.a": {"c": [1, 2]},
    }


@pytest.mark.parametrize("text", ["a", "a=1", "a.=1", ".b=1", "a.b=[1"])
def test_other_values_of_set_are_errors(text: str) -> None:
    with pytest.raises(UsageError):
        config_values([text])


def test_logs_are_what_was_printed(built: Path, cli) -> None:
    assert cli("logs", "total", "--raw").out == "adding up\n"
    assert "adding up" in cli("logs", "1").out
    assert "adding up" in cli("logs", "1", "total").out
    assert cli("logs", "99").code == 2
    assert cli("logs", "1", "2", "total").code == 2


def test_times_are_shown_in_the_zone_that_is_asked_for(built: Path, cli) -> None:
    moment = datetime.fromisoformat(cli("history", "total", "--json").document["data"]["history"][0]["when"])
    screen = cli("history", "total", "--format", "table", "--tz", "Asia/Tokyo", now=moment.timestamp())
    hour = (moment.hour + 9) % 24

    assert f"{hour:02d}:{moment:%M} today" in screen.out


def test_config_hides_what_looks_like_a_secret(project: Path, cli) -> None:
    with (project / "assetflow.toml").open("a") as file:
        file.write('\n[resources.Bank]\napi_token = "hunter2"\nurl = "https://bank.example"\n')
    screen = cli("config", "--json")
    found = {one["setting"]: one for one in screen.document["data"]["settings"]}

    assert "hunter2" not in screen.out
    assert found["resources.Bank.url"]["value"] == "https://bank.example"
    assert found["modules"]["origin"] == "assetflow.toml:1"
    assert found["workers"]["origin"] == "default"


def test_config_says_which_variable_set_a_value(project: Path, cli, monkeypatch) -> None:
    monkeypatch.setenv("ASSETFLOW_WORKERS", "3")
    found = {one["setting"]: one for one in cli("config", "--json").document["data"]["settings"]}

    assert (found["workers"]["value"], found["workers"]["origin"]) == (3, "$ASSETFLOW_WORKERS")


def test_show_tells_the_code_when_it_is_asked_to(built: Path, cli) -> None:
    assert "adding up" in cli("show", "total", "--code").out
    assert "adding up" not in cli("show", "total").out
    assert "adding up" in str(cli("show", "total", "--code", "--json").document["data"]["code"])


@pytest.mark.parametrize(("sort", "first"), [("name", "doubled"), ("topo", "numbers")])
def test_ls_is_sorted(built: Path, cli, sort: str, first: str) -> None:
    assert cli("ls", "--sort", sort).out.startswith(first)


def test_a_long_plan_is_cut_and_says_so(tmp_path: Path, cli, monkeypatch) -> None:
    many = "from assetflow import asset\n" + "".join(
        f"@asset\ndef a{n}() -> list[dict[str, int]]:\n    return [{{'n': {n}}}]\n" for n in range(50)
    )
    (tmp_path / "assets.py").write_text(many)
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    monkeypatch.chdir(tmp_path)

    assert "… 10 more (--max-rows 0 shows all)" in cli("plan").out
    assert cli("plan", "--max-rows", "0").out.count("never materialized") == 50
    assert len(json.loads(cli("plan", "--json").out)["data"]["items"]) == 50


def test_the_events_of_a_run_are_shown_one_a_line(built: Path, cli) -> None:
    lines = cli("runs", "show", "1", "--events").out.splitlines()
    assert [line.split()[2:4] for line in lines[1:4]] == [
        ["run_started", "env=dev"], ["asset_started", "doubled"], ["asset_materialized", "doubled"],
    ]  # fmt: skip
    assert lines[-1].split()[2:6] == ["run_finished", "ok=true", "materialized=2", "current=0"]
    document = cli("runs", "show", "1", "--events", "--json").document["data"]
    assert [event["seq"] for event in document["events"]] == list(range(1, len(lines)))
    assert document["state"] == "ok"
    table = cli("runs", "show", "1", "--events", "--format", "csv").out.splitlines()
    assert table[0] == "seq,ts,type,asset,text"
    assert len(table) == len(lines)


def test_events_are_those_of_one_run(built: Path, cli) -> None:
    assert cli("runs", "--events").code == 2
    assert cli("runs", "show", "77", "--events").code == 2
