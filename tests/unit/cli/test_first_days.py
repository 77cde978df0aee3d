"""What a new user meets in the first days: things that are not there yet, values that are no tables, slips."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from assetflow.cli.render_errors import error_lines, local_paths
from assetflow.cli.text import flat
from assetflow.errors import SourceMissing
from assetflow.model.records import Attempt
from assetflow.plan.planner import Step
from assetflow.plan.staleness import Action, Reason
from assetflow.project import Project
from assetflow.views import content_states
from tests.unit.cli.conftest import Cli

ASSETS = """
from pathlib import Path
from assetflow import asset, row_count

Rows = list[dict[str, object]]


@asset
def paid_orders() -> Rows:
    return [{"id": 1}]


@asset
def revenue(paid_orders: Rows) -> Rows:
    return paid_orders


@asset(group="values")
def settings() -> dict:
    return {"steps": [1, 2, 3], "name": "Ümit"}


@asset(group="values")
def nothing() -> None:
    return None


@asset(group="values")
def blob() -> bytes:
    return b"four"


@asset(group="checked", checks=[row_count(1)])
def checked() -> Rows:
    return [{"id": 1}]
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "assets.py").write_text(ASSETS)
    (folder / "assetflow.toml").write_text('modules = ["assets"]\n')
    monkeypatch.chdir(folder)
    return folder


def edit(shop: Path, old: str, new: str) -> None:
    text = (shop / "assets.py").read_text()
    assert old in text
    (shop / "assets.py").write_text(text.replace(old, new))


# -- a check that fails


def test_a_first_build_that_is_rejected_leaves_nothing_published(cli: Cli, shop: Path) -> None:
    edit(shop, "row_count(1)", "row_count(2)")
    screen = cli("materialize", "checked")

    assert "served nothing is published yet" in screen.out
    assert "previous version" not in screen.out
    assert "assetflow logs" not in screen.out + screen.err  # nothing was logged


def test_a_later_build_that_is_rejected_leaves_the_version_before(cli: Cli, shop: Path) -> None:
    cli("materialize", "checked")
    edit(shop, "row_count(1)", "row_count(2)")
    edit(shop, 'def checked() -> Rows:\n    return [{"id": 1}]', 'def checked() -> Rows:\n    return [{"id": 3}]')
    screen = cli("materialize", "checked")

    assert "served v1 stays current" in screen.out
    assert "nothing is published yet" not in screen.out


def test_logs_are_pointed_to_when_there_are_some(cli: Cli, shop: Path) -> None:
    edit(shop, "row_count(1)", "row_count(2)")
    edit(shop, "def checked() -> Rows:", "def checked() -> Rows:\n    print('one row')")

    assert "assetflow logs 1 checked" in cli("materialize", "checked").err


# -- an input that has no version


def test_an_input_without_a_version_is_named(cli: Cli, shop: Path) -> None:
    screen = cli("materialize", "--only", "revenue")

    assert screen.code == 1
    assert "not run (paid_orders has no version yet)" in screen.out
    assert "`revenue` was not run: `paid_orders` has no version in env dev yet" in screen.err
    assert "assetflow materialize +revenue" in screen.err
    assert "failed" not in screen.out + screen.err


def test_the_live_line_names_an_input_without_a_version(cli: Cli, shop: Path) -> None:
    assert (
        "not run (paid_orders has no version yet)" in cli("materialize", "--only", "revenue", "--progress", "rich").err
    )


def test_an_input_that_failed_is_still_called_failed(cli: Cli, shop: Path) -> None:
    edit(shop, "def paid_orders() -> Rows:\n", 'def paid_orders() -> Rows:\n    raise ValueError("no")\n')
    screen = cli("materialize", "revenue")

    assert "not run (paid_orders failed)" in screen.out
    assert "`paid_orders` failed, 1 blocked" in screen.err


# -- values that are no tables


def test_a_json_value_is_previewed_as_json(cli: Cli, shop: Path) -> None:
    cli("materialize", "settings", "-q")

    assert json.loads(cli("preview", "settings", "-n", "99").out) == {"steps": [1, 2, 3], "name": "Ümit"}
    assert cli("preview", "settings", "--json").document["data"]["value"]["name"] == "Ümit"
    first = cli("preview", "settings@1", "-n", "2")
    assert first.out == '{\n  "steps": [\n'
    assert "settings@1 · JSON · 2 of 8 lines" in first.err
    assert cli("preview", "settings", "-n", "1", "--tail").out == "}\n"
    assert cli("preview", "settings", "--format", "csv").code == 2


def test_none_and_files_are_previewed_as_what_they_are(cli: Cli, shop: Path) -> None:
    cli("materialize", "group:values", "-q")
    nothing, blob = cli("preview", "nothing"), cli("preview", "blob")

    assert (nothing.code, nothing.out) == (0, " nothing@1 is None: there is nothing to show\n")
    assert blob.out.startswith(" blob@1 is a file of 4 B: .assetflow/")
    assert Path(blob.out.rpartition(": ")[2].strip()).read_bytes() == b"four"
    assert cli("preview", "blob", "-c", "id").code == 1


def test_preview_is_suggested_only_where_it_shows_something(cli: Cli, shop: Path) -> None:
    cli("materialize", "-q")

    assert "assetflow preview settings" in cli("show", "settings").out
    assert "assetflow preview" not in cli("show", "nothing").out
    lose_bytes(shop, "checked")
    assert "assetflow preview" not in cli("show", "checked").out


# -- a failure of the past


def lose_bytes(shop: Path, key: str) -> None:
    stored = [path for path in (shop / ".assetflow" / "data" / key).rglob("*") if path.is_file()]
    assert stored
    for path in stored:
        path.chmod(0o600)
        path.unlink()


def test_a_failure_that_was_taken_back_is_not_why_bytes_are_gone(cli: Cli, shop: Path) -> None:
    cli("materialize", "checked")
    edit(shop, "row_count(1)", "row_count(2)")
    edit(shop, "def checked() -> Rows:\n", "def checked() -> Rows:\n    assert False\n")
    cli("materialize", "checked")
    assert "failed" in cli("status", "checked").out
    edit(shop, "    assert False\n", "")
    edit(shop, "row_count(2)", "row_count(1)")
    assert cli("materialize", "checked").code == 0
    lose_bytes(shop, "checked")
    row = cli("status", "checked", "--json").document["data"]["assets"][0]
    screen = cli("status", "checked").out

    assert row["state"] == "stale"
    assert "the bytes of v1 are gone" in screen
    assert "AssertionError" not in screen
    assert "failed" not in screen


@pytest.mark.parametrize(("later", "state"), [(-1, "stale"), (1, "failed")])
@pytest.mark.parametrize("outcome", ["failed", "rejected", "died"])
def test_only_a_failure_after_the_last_move_of_the_head_counts(
    cli: Cli, shop: Path, outcome: str, later: int, state: str
) -> None:
    cli("materialize", "checked")
    row = Project.load(shop).status()["checked"]
    assert row.head is not None
    assert row.attempt is not None
    step = replace(row.step, action=Action.RUN, reasons=(Reason("code_changed", "code changed"),))
    attempt = replace(row.attempt, state=outcome, run_id=row.attempt.run_id + later, finished_at=0.0)

    def seen(step: Step, attempt: Attempt) -> str:
        return content_states([step], {(step.asset, ""): attempt})[step.asset]

    assert seen(step, attempt) == state, "and no clock was asked"
    assert seen(replace(step, head=None), attempt) == "failed"
    assert seen(step, replace(attempt, state="cancelled")) == "stale"


# -- slips


def test_the_command_itself_is_named_when_no_verb_was_typed(cli: Cli, shop: Path) -> None:
    screen = cli("--vesion")

    assert screen.code == 2
    assert "`assetflow` does not take `--vesion`" in screen.err
    assert "did you mean `--version`?" in screen.err


@pytest.mark.parametrize(
    "words",
    [
        ("preview", "settings", "-n", "-1"),
        ("preview", "settings", "--rows=-1"),
        ("preview", "settings", "-n", "many"),
        ("runs", "-n", "0"),
        ("history", "settings", "-n", "-3"),
        ("sql", "select 1", "--limit", "-1"),
        ("plan", "--max-rows", "-1"),
    ],
)
def test_an_amount_below_the_least_is_a_usage_error(cli: Cli, shop: Path, words: tuple[str, ...]) -> None:
    screen = cli(*words)

    assert screen.code == 2
    assert re.search(r"is not a number of [01] or more", screen.err)


# -- paths


def test_paths_in_messages_are_relative_to_the_project() -> None:
    error = SourceMissing(
        "/home/you/shop/data/ordrs.csv is not there",
        facts=["similar names in /home/you/shop/data: orders.csv", "not /home/you/shop2/data or /mnt/home/you/shop/x"],
        fix='correct the path: "/home/you/shop/data/orders.csv"',
    )

    assert [flat(line) for line in error_lines(error, "/home/you/shop")] == [
        "error[AF201]: data/ordrs.csv is not there",
        "  similar names in data: orders.csv",
        "  not /home/you/shop2/data or /mnt/home/you/shop/x",
        '  help: correct the path: "data/orders.csv"',
    ]
    assert local_paths("in /home/you/shop: orders.csv", "/home/you/shop") == "in /home/you/shop: orders.csv"
    assert local_paths("/data/orders.csv", "/") == "/data/orders.csv"


def test_a_missing_source_is_named_as_the_project_names_it(cli: Cli, shop: Path) -> None:
    (shop / "data").mkdir()
    (shop / "data/orders.csv").write_text("id\n1\n")
    edit(shop, "from assetflow import asset,", "from assetflow import asset, source,")
    edit(shop, "Rows = ", 'ordrs = source("ordrs", path="data/ordrs.csv")\nRows = ')
    edit(shop, "def paid_orders()", "def paid_orders(ordrs: Rows)")
    screen = cli("materialize", "paid_orders")

    assert "similar names in data: orders.csv" in screen.out
    assert str(shop) not in screen.out
