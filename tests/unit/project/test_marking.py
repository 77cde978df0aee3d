"""What people say of versions: accepted, revoked, invalidated, marked; through the Python API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assetflow.care.restoring import restore
from assetflow.catalog.catalog import Catalog
from assetflow.errors import RunConflict, UsageError
from assetflow.model.keys import AssetKey
from assetflow.project import Project
from assetflow.run.locks import run_lock
from assetflow.views import HistoryEntry

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv")

@asset
def orders(raw: Rows) -> Rows:
    ran("orders")
    return [{"n": row["n"]} for row in raw]

@asset
def report(orders: Rows) -> dict:
    ran("report")
    return {"total": sum(row["n"] for row in orders)}
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    workspace.file("raw.csv", "n\n1\n2\n")
    assert workspace.materialize(executor="inline").ok
    workspace.ran()
    return workspace


def codes(project: Project, key: str) -> list[str]:
    return [reason.code for reason in project.plan()[key].reasons]


def moves(project: Project, key: str) -> list[tuple[str, str]]:
    """What moved the head, newest first, without the name of the machine."""

    def told(entry: HistoryEntry) -> tuple[str, str]:
        return (entry.kind, entry.reason.replace(entry.by, "me") if entry.by else entry.reason)

    return [told(entry) for entry in project.history(key)]


# ------------------------------------------------------------------------------------------------------------ accept


def test_an_edit_that_was_accepted_runs_nothing(shop: Workspace) -> None:
    shop.edit("for row in raw", "for row in list(raw)")
    project = shop.project()
    assert codes(project, "orders") == ["code_changed"]
    found = project.accept("orders", reason="a list is the same")

    assert (found.did, found.assets, found.left) == ("accepted", (("orders", 1),), ())
    assert shop.states() == {"raw": "source", "orders": "current", "report": "current"}
    assert [(one.word, one.text.partition(", ")[2]) for one in shop.project().status()["orders"].modifiers] == [
        ("accepted", "a list is the same")
    ]
    assert shop.outcomes() == {}
    assert shop.ran() == []
    assert moves(shop.project(), "orders") == [
        ("accepted", "accepted by me: a list is the same"),
        ("run", "never_materialized"),
    ]


def test_a_later_edit_makes_it_stale_as_ever(shop: Workspace) -> None:
    shop.edit("for row in raw", "for row in list(raw)")
    shop.project().accept("orders")
    shop.edit("list(raw)", "tuple(raw)")

    assert codes(shop.project(), "orders") == ["code_changed"]
    shop.edit("tuple(raw)", "raw")
    plan = shop.project().plan()
    assert [step.asset for step in plan.link] == ["orders"], "and the code from before the accepted edit fits again"
    assert shop.materialize().ok
    assert shop.ran() == []


def test_what_was_accepted_can_be_revoked(shop: Workspace) -> None:
    shop.edit("for row in raw", "for row in list(raw)")
    shop.project().accept("orders", reason="sure")
    found = shop.project().revoke("orders", reason="not so sure")

    assert (found.did, found.assets) == ("revoked", (("orders", 1),))
    assert codes(shop.project(), "orders") == ["code_changed"], "as it was before, and nothing is linked"
    assert moves(shop.project(), "orders")[0] == ("accept", "accept revoked by me: not so sure")
    assert shop.project().revoke("orders").left == (("orders", "nothing of it was accepted"),)
    assert shop.outcomes() == {"orders": "unchanged", "report": "cut_off"}


def test_what_was_linked_because_of_an_acceptance_goes_with_it(shop: Workspace) -> None:
    shop.edit("for row in raw", "for row in list(raw)")
    shop.project().accept("orders")
    shop.edit("list(raw)", "tuple(raw)")
    assert shop.materialize().ok
    shop.edit("tuple(raw)", "list(raw)")
    assert shop.outcomes() == {"orders": "linked"}
    shop.ran()
    shop.project().revoke("orders")

    assert codes(shop.project(), "orders") == ["invalidated"]
    assert shop.materialize().ok
    assert shop.ran() == ["orders"]
    assert shop.project().plan().is_empty


def test_a_changed_source_can_be_accepted_and_is_recorded(shop: Workspace) -> None:
    shop.file("raw.csv", "n\n1\n2\n\n")
    assert codes(shop.project(), "orders") == ["input_changed"]
    shop.project().accept("orders")

    assert shop.project().plan().is_empty
    head = shop.project().status()["orders"].head
    assert head is not None
    assert [one.version_number for one in head.trace.inputs] == [2]
    shop.file("raw.csv", "n\n5\n")
    assert codes(shop.project(), "orders") == ["input_changed"]


def test_what_cannot_be_accepted_is_left_alone_with_the_reason(shop: Workspace) -> None:
    shop.edit("@asset\ndef report", "@asset\ndef other(orders: Rows) -> int:\n    return 1\n\n@asset\ndef report")
    found = shop.project().accept("orders+")
    assert dict(found.left) == {
        "orders": "is current",
        "report": "is current",
        "other": "has no version that could stand for anything",
    }
    shop.edit("for row in raw", "for row in list(raw)")
    shop.project().pin("orders", reason="wait")
    assert "pinned" in dict(shop.project().accept("orders").left)[AssetKey("orders")]
    for name in ("", "raw", "raw or orders"):
        with pytest.raises(UsageError):
            shop.project().accept(name)


def test_nothing_is_said_while_a_run_goes_on(shop: Workspace) -> None:
    with run_lock(shop.project().settings, "dev") as lock:
        assert lock.acquire()
        for act in (shop.project().accept, shop.project().invalidate, shop.project().revoke):
            with pytest.raises(RunConflict):
                act("orders")


# -------------------------------------------------------------------------------------------------------- invalidate


def test_what_was_invalidated_runs_again_and_nothing_old_is_linked(shop: Workspace) -> None:
    found = shop.project().invalidate("orders", reason="the feed was wrong")
    assert (found.did, found.assets) == ("invalidated", (("orders", 1),))
    plan = shop.project().plan()
    assert [(reason.code, reason.text.partition(": ")[2]) for reason in plan["orders"].reasons] == [
        ("invalidated", "the feed was wrong")
    ]
    assert [step.asset for step in plan.maybe] == ["report"]
    assert shop.outcomes() == {"orders": "unchanged", "report": "cut_off"}
    assert shop.ran() == ["orders"]
    assert shop.project().plan().is_empty
    assert [kind for kind, _ in moves(shop.project(), "orders")] == ["run", "invalidated", "run"]


def test_an_old_result_does_not_come_back_after_an_invalidation(shop: Workspace) -> None:
    shop.edit("for row in raw", "for row in list(raw)")
    assert shop.materialize().ok
    shop.project().invalidate("orders")
    shop.edit("list(raw)", "raw")
    assert [step.asset for step in shop.project().plan().run] == ["orders"], "the run before was invalidated too"


def test_an_invalidation_is_of_one_environment(shop: Workspace) -> None:
    assert shop.materialize(env="prod").ok
    shop.project().invalidate("orders")
    assert shop.project("prod").plan().is_empty
    assert not shop.project().plan().is_empty


def test_an_asset_without_a_version_can_be_invalidated(shop: Workspace) -> None:
    shop.project("prod").invalidate("orders")
    plan = shop.project("prod").plan()
    assert [step.asset for step in plan.run] == ["orders", "report"], "what another environment computed is no help"
    assert shop.outcomes(env="prod")["report"] == "linked", "its inputs are those of the other environment again"


# --------------------------------------------------------------------------------------------------------------- mark


def test_marks_are_told_in_the_history(shop: Workspace) -> None:
    shop.edit("for row in raw", "for row in list(raw)")
    shop.project().mark("orders", "current", reason="checked by hand")
    assert shop.project().plan().is_empty
    shop.project().mark("orders", "stale", reason="was wrong after all")
    assert codes(shop.project(), "orders") == ["invalidated"]
    assert moves(shop.project(), "orders")[:2] == [
        ("marked", "marked stale by me: was wrong after all"),
        ("marked", "marked current by me: checked by hand"),
    ]
    with pytest.raises(UsageError, match="needs a reason"):
        shop.project().mark("orders", "current", reason=" ")
    with pytest.raises(UsageError, match="current or stale, not `new`"):
        shop.project().mark("orders", "new", reason="x")


# -------------------------------------------------------------------------------------------------------- the journal


def test_what_people_said_survives_a_lost_catalog(shop: Workspace) -> None:
    shop.edit("for row in raw", "for row in list(raw)")
    shop.project().accept("orders", reason="sure")
    shop.project().revoke("orders")
    shop.project().invalidate("report", reason="doubt")
    shop.edit("sum(row", "sum(0 + row")
    before = told(shop)
    for path in (shop.root / ".assetflow").glob("catalog.db*"):
        path.unlink()
    restore(shop.project().settings)

    assert told(shop) == before


def told(shop: Workspace) -> object:
    """What is planned, what was said, and the code behind it; which runs there were is lost with the catalog."""
    with_catalog = Catalog(Path(shop.project().settings.catalog_path))
    digests = [digest for head in with_catalog.heads("dev").values() for digest in head.trace.code_parts.values()]
    sources = with_catalog.sources(digests)
    with_catalog.close()
    plan = shop.project().plan()
    return ([(step.asset, step.action, step.reasons) for step in plan], moves(shop.project(), "orders")[:2], sources)
