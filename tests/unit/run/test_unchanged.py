"""The short way to "nothing to do": taken only when all that a plan rests on is as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from assetflow.run.unchanged import Unchanged, still_unchanged

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv")

@asset(files=["notes/*"], env=["REGION"])
def orders(raw: Rows) -> Rows:
    return [{"n": row["n"]} for row in raw]

@asset
def report(orders: Rows) -> dict:
    (Path(__file__).parent / "opened.txt").read_text()
    return {"total": sum(row["n"] for row in orders)}
"""


@pytest.fixture
def shop(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project that is built, and of which it is remembered that there is nothing to do."""
    monkeypatch.setenv("REGION", "north")
    workspace.assets(SHOP)
    workspace.file("raw.csv", "n\n1\n")
    workspace.file("notes/one.txt", "a")
    workspace.file("opened.txt", "a")
    assert workspace.materialize(executor="inline").ok
    assert short(workspace) is None, "nobody has looked yet"
    assert workspace.project().plan().is_empty
    return workspace


def short(workspace: Workspace) -> Unchanged | None:
    return still_unchanged(workspace.project().settings)


def test_what_has_not_changed_is_not_looked_at_again(shop: Workspace) -> None:
    assert short(shop) == Unchanged(2, ())
    shop.project().pin("report")
    assert short(shop) is None
    assert shop.project().plan().is_empty
    assert short(shop) == Unchanged(2, ("report@1",))


def edit_code(shop: Workspace) -> None:
    shop.edit("sum(", "0 + sum(")


def edit_settings(shop: Workspace) -> None:
    shop.file("assetflow.toml", 'modules = ["assets"]\nio = "duckdb"\n')


def change_source(shop: Workspace) -> None:
    shop.file("raw.csv", "n\n2\n")


def lose_source(shop: Workspace) -> None:
    (shop.root / "raw.csv").unlink()


def change_file(shop: Workspace) -> None:
    shop.file("notes/one.txt", "b")


def add_file(shop: Workspace) -> None:
    shop.file("notes/two.txt", "b")


def change_opened_file(shop: Workspace) -> None:
    shop.file("opened.txt", "b")


def lose_opened_file(shop: Workspace) -> None:
    (shop.root / "opened.txt").unlink()


def change_variable(shop: Workspace) -> None:
    os.environ["REGION"] = "south"  # the fixture puts it back


def lose_bytes(shop: Workspace) -> None:
    next((shop.root / ".assetflow" / "data" / "report").rglob("value.json")).unlink()


def run_elsewhere(shop: Workspace) -> None:
    shop.materialize("report", force=True)


def invalidate(shop: Workspace) -> None:
    shop.project().invalidate("report")


def lose_catalog(shop: Workspace) -> None:
    for path in (shop.root / ".assetflow").glob("catalog.db*"):
        path.unlink()


@pytest.mark.parametrize(
    "change",
    [edit_code, edit_settings, change_source, lose_source, change_file, add_file, change_opened_file,
     lose_opened_file, change_variable, lose_bytes,
     run_elsewhere, invalidate, lose_catalog],
)  # fmt: skip
def test_whatever_a_plan_rests_on_is_looked_at(shop: Workspace, change: Callable[[Workspace], None]) -> None:
    settings = shop.project().settings
    assert still_unchanged(settings) is not None
    change(shop)
    assert still_unchanged(settings if change is not edit_settings else shop.project().settings) is None


def test_a_file_that_was_only_touched_changes_nothing(shop: Workspace) -> None:
    os.utime(shop.root / "raw.csv")
    os.utime(shop.root / "assets.py")
    assert short(shop) is not None


def test_a_plan_that_is_not_empty_or_not_whole_is_not_remembered(shop: Workspace) -> None:
    (shop.root / ".assetflow" / "cache" / "unchanged-dev.json").unlink()
    assert shop.project().plan("report").is_empty
    assert short(shop) is None
    edit_code(shop)
    assert not shop.project().plan().is_empty
    assert short(shop) is None


def test_each_environment_has_its_own(shop: Workspace) -> None:
    assert still_unchanged(shop.project("prod").settings) is None


def test_a_source_that_must_be_asked_is_asked(workspace: Workspace) -> None:
    workspace.assets("""
    day = source("day", version=lambda: (Path(__file__).parent / "day.txt").read_text())

    @asset(deps=["day"])
    def report() -> int:
        return 1
    """)
    workspace.file("day.txt", "monday")
    assert workspace.materialize().ok
    assert workspace.project().plan().is_empty
    assert short(workspace) is None


def test_a_damaged_note_is_no_note(shop: Workspace) -> None:
    path = shop.root / ".assetflow" / "cache" / "unchanged-dev.json"
    path.write_bytes(path.read_bytes().replace(b"report", b"rapport"))
    assert short(shop) is None
