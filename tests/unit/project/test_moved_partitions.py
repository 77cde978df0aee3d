"""What is said of single partitions, and which of their versions are current: accept, mark, pin, rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow import Project
from assetflow.care.restoring import restore
from assetflow.errors import AssetflowError, NoSuchVersion, UsageError, VersionInSelection
from tests.unit.project import parted

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    return parted.make(workspace)


def versions(project: Project, key: str) -> list[int]:
    """The current version of each partition, in their order."""
    return [0 if row.head is None else row.head.version.number for row in project.status(f"{key}[*]")]


def states(project: Project, key: str) -> list[str]:
    return [row.state for row in project.status(f"{key}[*]")]


def rebuilt(workspace: Workspace) -> Project:
    """The project with a catalog that was made again from the journal."""
    before = workspace.project().settings
    before.catalog_path.unlink()
    restore(before)
    return workspace.project()


# ------------------------------------------------------------------------------------------------------------- accept


def test_an_accepted_partition_is_current_and_the_others_are_not(shop: Workspace) -> None:
    project = shop.project()
    assert states(project, "doubled") == ["stale", "stale", "current", "current"]
    said = project.accept("doubled[2026-01-30]", reason="only rounding")

    assert said.assets == (("doubled[2026-01-30]", 1),)
    assert states(shop.project(), "doubled") == ["current", "stale", "current", "current"]
    assert project.status()["doubled"].parts == {"current": 3, "stale": 1}
    assert project.history("doubled[2026-01-30]")[0].reason.endswith(": only rounding")
    assert len(project.history("doubled[2026-01-31]")) == 1
    assert shop.outcomes("doubled", executor="inline") == {"doubled[2026-01-31]": "materialized"}


def test_of_an_asset_alone_all_its_partitions_are_accepted(shop: Workspace) -> None:
    said = shop.project().accept("doubled by_month total")

    assert [key for key, _ in said.assets] == [
        "doubled[2026-01-30]",
        "doubled[2026-01-31]",
        "by_month[2026-01]",
        "total",
    ]
    assert {key for key, why in said.left if why == "is current"} == {
        "doubled[2026-02-01]", "doubled[2026-02-02]", "by_month[2026-02]",
    }  # fmt: skip
    assert shop.project().plan().is_empty


def test_an_edit_that_is_accepted_for_some_partitions_runs_the_others(shop: Workspace) -> None:
    shop.materialize(executor="inline").raise_for_status()
    shop.edit('2 * row["amount"]', 'row["amount"] * 2')
    shop.project().mark("doubled[..2026-02-01]", "current", reason="the same")

    assert shop.outcomes("doubled", executor="inline") == {"doubled[2026-02-02]": "unchanged"}


def test_what_was_accepted_of_a_partition_is_taken_back(shop: Workspace) -> None:
    project = shop.project()
    project.accept("doubled")
    said = project.revoke("doubled[2026-01-31..2026-02-01]")

    assert said.assets == (("doubled[2026-01-31]", 1),)
    assert said.left == (("doubled[2026-02-01]", "nothing of it was accepted"),)
    assert states(shop.project(), "doubled") == ["current", "stale", "current", "current"]
    assert [key for key, _ in project.revoke("doubled").assets] == ["doubled[2026-01-30]"]
    assert states(shop.project(), "doubled") == ["stale", "stale", "current", "current"]


def test_a_partition_that_is_marked_stale_runs_again(shop: Workspace) -> None:
    shop.project().mark("orders[2026-02-02]", "stale", reason="edited by hand")

    assert states(shop.project(), "orders") == ["current", "current", "current", "stale"]


# ---------------------------------------------------------------------------------------------------- pin and rollback


def test_a_partition_goes_back_to_the_version_before_and_stays_there(shop: Workspace) -> None:
    done = shop.project().rollback("orders[2026-01-30]", reason="wrong price")

    assert [(one.asset, one.before, one.after) for one in done.moves] == [("orders[2026-01-30]", 2, 1)]
    assert versions(shop.project(), "orders") == [1, 2, 1, 1]
    assert shop.project().read("orders")["amount"].tolist() == [30, 62, 1, 2]
    assert states(shop.project(), "orders") == ["pinned", "current", "current", "current"]
    assert shop.outcomes("orders doubled", executor="inline") == {"doubled[2026-01-31]": "materialized"}
    assert versions(shop.project(), "orders") == [1, 2, 1, 1]


def test_several_partitions_go_back_together_and_those_that_cannot_stay(shop: Workspace) -> None:
    done = shop.project().rollback("orders[*]")

    assert [one.asset for one in done.moves] == ["orders[2026-01-30]", "orders[2026-01-31]"]
    assert done.left == (
        ("orders[2026-02-01]", "has no such version"), ("orders[2026-02-02]", "has no such version"),
    )  # fmt: skip
    assert versions(shop.project(), "orders") == [1, 1, 1, 1]


def test_what_is_made_of_a_partition_goes_back_with_it(shop: Workspace) -> None:
    shop.materialize(executor="inline").raise_for_status()
    done = shop.project().rollback("orders[2026-01-30]", downstream=True)

    assert {one.asset: (one.before, one.after) for one in done.moves} == {
        "orders[2026-01-30]": (2, 1), "doubled[2026-01-30]": (2, 1), "by_month[2026-01]": (2, 1), "total": (2, 1),
    }  # fmt: skip
    assert versions(shop.project(), "doubled") == [1, 2, 1, 1]


def test_all_partitions_go_back_to_what_they_were_after_a_run(shop: Workspace) -> None:
    done = shop.project().rollback("orders doubled", to="run:1")

    assert [one.asset for one in done.moves] == ["orders[2026-01-30]", "orders[2026-01-31]"]
    assert versions(shop.project(), "orders") == [1, 1, 1, 1]
    assert states(shop.project(), "doubled") == ["current"] * 4


def test_a_partition_is_pinned_to_a_version_and_unpinned(shop: Workspace) -> None:
    project = shop.project()
    project.pin("orders[2026-01-31]@1 orders[2026-02-02]", reason="as it was reported")
    assert versions(project, "orders") == [2, 1, 1, 1]
    assert states(project, "orders") == ["current", "pinned", "current", "pinned"]
    assert project.select("is:pinned") == ("orders",)
    assert project.show("orders[2026-01-31]").status.step.pin is not None

    assert project.unpin("orders[2026-01-30..2026-01-31]") == ("orders[2026-01-31]",)
    assert project.unpin("is:pinned") == ("orders[2026-02-02]",)
    assert project.unpin("orders") == ()


def test_a_range_is_pinned_as_far_as_it_has_versions(workspace: Workspace) -> None:
    workspace.assets(parted.SHOP)
    workspace.file("price.txt", "1")
    workspace.materialize("orders[2026-01-31]", executor="inline").raise_for_status()
    done = workspace.project().pin("orders[2026-01]")

    assert [one.asset for one in done.moves] == ["orders[2026-01-31]"]
    assert done.left == (("orders[2026-01-30]", "has no version yet"),)
    with pytest.raises(NoSuchVersion, match="orders\\[2026-02-01\\] has no version to pin yet"):
        workspace.project().pin("orders[2026-02-01]")


def test_all_of_it_is_in_the_journal(shop: Workspace) -> None:
    project = shop.project()
    project.accept("doubled[2026-01-30]", reason="only rounding")
    project.rollback("orders[2026-01-31]")
    project.pin("orders[2026-02-02]")
    before = [(row.spec.key, row.state, row.parts) for row in project.status()]
    history = [entry.reason for entry in project.history("doubled[2026-01-30]")[:1]]
    again = rebuilt(shop)

    assert [(row.spec.key, row.state, row.parts) for row in again.status()] == before
    assert states(again, "orders") == ["current", "pinned", "current", "pinned"]
    assert versions(again, "orders") == [2, 1, 1, 1]
    assert [entry.reason for entry in again.history("doubled[2026-01-30]")[:1]] == history


# ------------------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(("act", "kind", "message"), [
    (lambda one: one.accept("total[2026-01-30]"), UsageError, "total has no partitions"),
    (lambda one: one.accept("doubled[2026-01-30] total"), UsageError, "`total` names assets"),
    (lambda one: one.rollback("orders"), UsageError, "orders has partitions"),
    (lambda one: one.rollback("orders[2026-02-01]"), NoSuchVersion, "has not had 2 versions"),
    (lambda one: one.rollback("orders[2026-01-30]", to=7), NoSuchVersion, "its versions are 1 to 2"),
    (lambda one: one.rollback("orders[2026-01-30]@1"), VersionInSelection, "--to 1"),
    (lambda one: one.pin("orders[2026-01-30] orders[2026-01]"), UsageError, "names orders[2026-01-30] twice"),
    (lambda one: one.pin("orders[2026-01-30]@9"), NoSuchVersion, "orders[2026-01-30] has no version 9"),
    (lambda one: one.pin("nope[2026-01-30]"), AssetflowError, "nope"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_and_nothing_changes(
    shop: Workspace, act: object, kind: type[AssetflowError], message: str
) -> None:
    before = [(row.spec.key, row.state) for row in shop.project().status()]
    with pytest.raises(kind) as caught:
        act(shop.project())  # type: ignore[operator]

    assert message in f"{caught.value.what} {caught.value.facts} {caught.value.fix}"
    assert [(row.spec.key, row.state) for row in shop.project().status()] == before
