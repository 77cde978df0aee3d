"""The short way to an answer: taken when all that it rests on is as it was, and then it says what the long one does."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from assetflow.cli.main import main

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv")

@asset(files=["notes/*"], env=["REGION"], group="staging", description="Grüße")
def orders(raw: Rows) -> Rows:
    return [{"n": row["n"]} for row in raw]

@asset
def report(orders: Rows) -> dict:
    (Path(__file__).parent / "opened.txt").read_text()
    return {"total": sum(row["n"] for row in orders)}
"""
VERBS = (("plan",), ("plan", "report", "--json"), ("ls", "orders"), ("status",), ("materialize",))
WORDS = (
    *VERBS, ("plan", "--json"), ("ls",), ("ls", "--json"), ("ls", "+report", "--sort", "name"), ("st", "is:stale"),
    ("ls", "--json", "--sort", "size"), ("status", "--json"), ("materialize", "report", "--json"),
    ("status", "--exit-code"), ("plan", "--exit-code"), ("status", "--json", "--exit-code"),
)  # fmt: skip
FORMS = (
    (), ("-v",), ("--format", "md"), ("--format", "csv"), ("--format", "table"), ("--format=jsonl",), ("--ascii",),
    ("--color", "always"), ("-q",),
)  # fmt: skip


@pytest.fixture
def shop(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project that is built, and of which everything was said once."""
    monkeypatch.setenv("REGION", "north")
    workspace.assets(SHOP)
    workspace.file("raw.csv", "n\n1\n")
    workspace.file("notes/one.txt", "a")
    workspace.file("opened.txt", "a")
    assert workspace.materialize(executor="inline").ok
    assert not workspace.is_known("plan"), "nobody has asked yet"
    ask(workspace)
    return workspace


def ask(shop: Workspace) -> None:
    for words in VERBS:
        shop.call(*words)


def known(shop: Workspace) -> set[bool]:
    return {shop.is_known(*words) for words in VERBS}


def test_what_was_said_once_is_known(shop: Workspace) -> None:
    assert known(shop) == {True}
    shop.project().pin("report")
    assert known(shop) == {False}
    ask(shop)
    assert known(shop) == {True}


def edit_code(shop: Workspace) -> None:
    shop.edit("sum(", "0 + sum(")


def edit_comment(shop: Workspace) -> None:
    shop.edit("@asset\n", "# why\n@asset\n")


def add_module(shop: Workspace) -> None:
    shop.file("other.py", "")


def edit_settings(shop: Workspace) -> None:
    shop.file("assetflow.toml", 'modules = ["assets"]\nio = "duckdb"\n')


def edit_local_settings(shop: Workspace) -> None:
    shop.file("assetflow.local.toml", "workers = 3\n")


def two_project_files(shop: Workspace) -> None:
    shop.file("pyproject.toml", "[tool.assetflow]\n")


def change_source(shop: Workspace) -> None:
    shop.file("raw.csv", "n\n2\n")


def touch_source(shop: Workspace) -> None:
    os.utime(shop.root / "raw.csv", (1_700_000_000, 1_700_000_000))  # it is as old as its newest file


def lose_source(shop: Workspace) -> None:
    (shop.root / "raw.csv").unlink()


def change_file(shop: Workspace) -> None:
    shop.file("notes/one.txt", "b")


def add_file(shop: Workspace) -> None:
    shop.file("notes/two.txt", "b")


def lose_file(shop: Workspace) -> None:
    (shop.root / "notes" / "one.txt").unlink()


def change_opened_file(shop: Workspace) -> None:
    shop.file("opened.txt", "b")


def lose_opened_file(shop: Workspace) -> None:
    (shop.root / "opened.txt").unlink()


def change_variable(shop: Workspace) -> None:
    os.environ["REGION"] = "south"  # the fixture puts it back


def lose_variable(shop: Workspace) -> None:
    del os.environ["REGION"]


def set_setting(shop: Workspace) -> None:
    os.environ["ASSETFLOW_WORKERS"] = "2"


def lose_bytes(shop: Workspace) -> None:
    next((shop.root / ".assetflow" / "data" / "report").rglob("value.json")).unlink()


def run_elsewhere(shop: Workspace) -> None:
    shop.materialize("report", force=True)


def invalidate(shop: Workspace) -> None:
    shop.project().invalidate("report")


def lose_catalog(shop: Workspace) -> None:
    for path in (shop.root / ".assetflow").glob("catalog.db*"):
        path.unlink()


def cut_journal(shop: Workspace) -> None:
    end = max((shop.root / ".assetflow" / "journal").glob("*.jsonl"))
    end.write_bytes(end.read_bytes()[:-1])


def replace_catalog(shop: Workspace) -> None:
    path = shop.root / ".assetflow" / "catalog.db"
    content = path.read_bytes()
    path.rename(path.with_name("old.db"))
    path.write_bytes(content)


CHANGES = (
    edit_code, edit_comment, add_module, edit_settings, edit_local_settings, two_project_files, change_source,
    touch_source, lose_source, change_file, add_file, lose_file, change_opened_file, lose_opened_file, change_variable,
    lose_variable, set_setting, lose_bytes, run_elsewhere, invalidate, lose_catalog, cut_journal, replace_catalog,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_an_answer_rests_on_is_looked_at(
    shop: Workspace, change: Callable[[Workspace], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSETFLOW_WORKERS", "4")
    ask(shop)
    assert known(shop) == {True}
    change(shop)
    assert known(shop) == {False}


def begin_to_write(shop: Workspace) -> None:
    shop.file(".assetflow/data/tmp/1-0/value.json", "1")


def leave_backup(shop: Workspace) -> None:
    shop.file(".assetflow/backups/catalog-20260101T00.db.new", "")


def show_folders(shop: Workspace) -> None:
    (shop.root / ".assetflow" / "views" / "dev").mkdir(parents=True)


@pytest.mark.parametrize("change", [begin_to_write, leave_backup, show_folders])
def test_a_run_with_nothing_to_make_tidies_up_all_the_same(
    shop: Workspace, change: Callable[[Workspace], None]
) -> None:
    change(shop)
    assert not shop.is_known("materialize")


def test_a_module_that_was_only_touched_changes_nothing(shop: Workspace) -> None:
    os.utime(shop.root / "assets.py")
    assert known(shop) == {True}


def test_what_is_stale_is_found_out_each_time(shop: Workspace) -> None:
    edit_code(shop)
    for words in VERBS:
        if words[0] != "materialize":
            shop.call(*words)
            assert not shop.is_known(*words), words


def test_each_environment_has_its_own(shop: Workspace) -> None:
    assert not shop.is_known("plan", env="prod")
    assert shop.materialize(env="prod").ok
    shop.call("status", env="prod")
    assert shop.is_known("status", env="prod")
    assert not shop.is_known("status"), "what was run there is part of the catalog"


def test_a_source_that_must_be_asked_is_asked_for_a_plan_and_not_for_a_look(workspace: Workspace) -> None:
    workspace.assets("""
    day = source("day", version=lambda: (Path(__file__).parent / "day.txt").read_text())

    @asset(deps=["day"])
    def report() -> int:
        return 1
    """)
    workspace.file("day.txt", "monday")
    assert workspace.materialize().ok
    ask(workspace)
    assert not workspace.is_known("plan")
    assert not workspace.is_known("materialize")
    workspace.call("status")
    assert workspace.is_known("status")
    workspace.call("materialize")  # which notes when the source was last found to be what it was
    assert not workspace.is_known("status")


def test_a_project_with_alerts_looks_around_after_each_run(shop: Workspace) -> None:
    shop.file("assetflow.toml", 'modules = ["assets"]\n[alerts.team]\nurl = "slack://a/b/c"\n')
    ask(shop)
    assert shop.is_known("plan")
    assert not shop.is_known("materialize")


def test_a_damaged_note_is_no_note(shop: Workspace) -> None:
    path = shop.root / ".assetflow" / "cache" / "unchanged-dev.json"
    path.write_bytes(path.read_bytes().replace(b"report", b"rapport"))
    assert known(shop) == {False}


def test_a_damaged_answer_is_no_answer(shop: Workspace) -> None:
    for path in (shop.root / ".assetflow" / "cache" / "answers-dev").iterdir():
        path.write_bytes(path.read_bytes().replace(b"report", b"rapport"))
    assert not shop.is_known("ls")


def test_there_are_never_many_answers(shop: Workspace) -> None:
    for number in range(60):
        shop.call("ls", "orders", *(["report"] * number))
    assert len(list((shop.root / ".assetflow" / "cache" / "answers-dev").iterdir())) <= 32


def test_the_short_way_can_be_switched_off(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSETFLOW_SHORT", "0")
    assert known(shop) == {False}
    shop.materialize("report", force=True)
    ask(shop)
    monkeypatch.delenv("ASSETFLOW_SHORT")
    assert known(shop) == {False}, "nor is anything written down"


# ----------------------------------------------------------------------------------------- both ways say the same

LATE = """
fresh = source("fresh", path="raw.csv")

@asset(freshness=Freshness(within="2h"), tags={"tier": "gold"}, owners=["ann@shop.example"])
def orders(fresh: Rows) -> Rows:
    return [{"n": row["n"]} for row in fresh]

@asset(freshness=Freshness(by="0 8 * * *", tz="Europe/London"), checks=[not_null("n")])
def report(orders: Rows) -> Rows:
    return orders
"""


def both(
    shop: Workspace, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], now: float
) -> list[tuple[str, ...]]:
    """What the long way, and then what was noted of it, put on the streams, without how long it took."""
    found: list[tuple[str, ...]] = []
    for way in ("0", "1", "1"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ASSETFLOW_SHORT", way)
            capsys.readouterr()
            code = main([*words, "-C", str(shop.root)], now=now)
        out, err = (re.sub(r"\d+(\.\d+)? (ms|s|min)\b(?! ago)", "…", text) for text in capsys.readouterr())
        found.append((str(code), re.sub(r'"seconds": [\d.e-]+', "", out), err))
    return found


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.parametrize("text", [SHOP, LATE], ids=["plain", "timed"])
def test_both_ways_write_the_same(
    workspace: Workspace, text: str, form: tuple[str, ...], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("REGION", "north")
    monkeypatch.setenv("COLUMNS", "110")
    workspace.assets(text, 'tz = "Europe/London"')
    for name in ("raw.csv", "notes/one.txt", "opened.txt"):
        workspace.file(name, "n\n1\n")
    assert workspace.materialize(executor="inline").ok
    workspace.project()
    for now in (time.time(), time.time() + 6900):
        for words in WORDS if not form else [words for words in WORDS if "--json" not in words]:
            long, first, again = both(workspace, capsys, (*words, *form), now)
            assert long == first == again, words


def test_what_turns_with_the_clock_is_said_until_it_turns(workspace: Workspace) -> None:
    workspace.assets(LATE)
    workspace.file("raw.csv", "n\n1\n")
    assert workspace.materialize(executor="inline").ok
    due = (workspace.root / "raw.csv").stat().st_mtime + 7200

    def is_known(at: float) -> bool:
        from assetflow.cli.short import short_answer

        return short_answer("status", ["-C", str(workspace.root)], at) is not None

    workspace.project()
    for begins, ends in ((due - 7000, due - 720), (due - 700, due)):
        main(["status", "-C", str(workspace.root)], now=begins)
        assert is_known(begins)
        assert is_known(ends - 1)
        assert not is_known(ends + 1)
        assert not is_known(begins - 1), "a clock that was put back"
    main(["status", "-C", str(workspace.root)], now=due + 1)
    assert not is_known(due + 1), "how late it is is another thing in every moment"
    main(["plan", "is:overdue", "-C", str(workspace.root)], now=due - 700)
    assert not workspace.is_known("plan", "is:overdue")
