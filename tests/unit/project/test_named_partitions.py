"""Looking at single partitions, and making them, by the names that people write: `orders[2026-01-30]`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from assetflow import Project
from assetflow.errors import AssetflowError, NoSuchAsset, NoSuchVersion, UsageError
from assetflow.io.diff_results import TableDiff
from tests.unit.project import parted

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace


@pytest.fixture(scope="module")
def shop(shared_workspace: Workspace) -> Workspace:
    return parted.make(shared_workspace)


def numbers(project: Project, key: str) -> list[tuple[str, int, bool]]:
    entries = project.history(key)
    return [(one.head.trace.partition, one.head.version.number, one.is_current) for one in entries]


# ----------------------------------------------------------------------------------------------------------- looking


def test_the_history_of_a_partition_has_its_versions_alone(shop: Workspace) -> None:
    project = shop.project()

    assert numbers(project, "orders[2026-01-30]") == [("2026-01-30", 2, True), ("2026-01-30", 1, False)]
    assert numbers(project, "orders[2026-02-01]") == [("2026-02-01", 1, True)]
    assert len(numbers(project, "orders")) == 6


def test_the_history_of_several_partitions_is_that_of_all_of_them(shop: Workspace) -> None:
    found = numbers(shop.project(), "orders[2026-01-31..2026-02-01]")

    assert sorted(found) == [("2026-01-31", 1, False), ("2026-01-31", 2, True), ("2026-02-01", 1, True)]
    assert [partition for partition, *_ in numbers(shop.project(), "orders[latest]")] == ["2026-02-02"]
    assert len(shop.project().history("orders[2026-01]", limit=3)) == 3


def test_show_tells_of_the_one_partition(shop: Workspace) -> None:
    view = shop.project().show("orders[2026-01-30]")

    assert (view.status.spec.key, view.status.state) == ("orders[2026-01-30]", "current")
    assert view.status.head is not None
    assert view.status.head.version.number == 2
    assert [entry.head.version.number for entry in view.history] == [2, 1]
    assert view.downstream == ("doubled", "by_month", "total")
    assert view.source_text is not None
    assert "def orders" in view.source_text


def test_status_has_a_row_for_each_partition_that_is_named(shop: Workspace) -> None:
    found = shop.project().status("doubled[2026-01-31..2026-02-01] or orders[2026-01-31..2026-02-01]")

    assert {row.spec.key: row.state for row in found} == {
        "orders[2026-01-31]": "current", "orders[2026-02-01]": "current",
        "doubled[2026-01-31]": "stale", "doubled[2026-02-01]": "current",
    }  # fmt: skip


def test_old_partitions_are_not_late(workspace: Workspace) -> None:
    workspace.assets("""
    @asset(partitions=Daily("2026-01-01", end="2026-01-02"), freshness=Freshness(within="1h"))
    def visits(partition: Partition) -> Result:
        return Result(partition.key, as_of=partition.end if partition.start.day == 1 else datetime.now(UTC))
    """)
    workspace.materialize(executor="inline").raise_for_status()
    project = workspace.project()

    assert project.status().overdue == ()
    assert [str(row.freshness.timeliness) for row in project.status("visits[*]")] == ["no_policy", "no_policy"]
    first = project.status("visits[*]")["visits[2026-01-01]"].freshness
    assert first.as_of == datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    # Nor is the asset, when an old one was made last.
    workspace.materialize("visits[2026-01-01]", force=True, executor="inline").raise_for_status()
    assert [project.status().overdue for _ in range(2)] == [(), ()]


def test_the_logs_of_a_partition_are_those_of_its_last_attempt(shop: Workspace) -> None:
    project = shop.project()

    assert [(log.run_id, log.partition, log.text) for log in project.logs(key="orders[2026-02-01]")] == [
        (1, "2026-02-01", "making 2026-02-01\n")
    ]
    assert [(log.run_id, log.text) for log in project.logs(1, "orders[2026-01-30]")] == [(1, "making 2026-01-30\n")]
    assert {log.text for log in project.logs(key="orders[2026-01]")} == {"making 2026-01-30\n", "making 2026-01-31\n"}
    lines = [(new.partition, new.lines) for new in project.follow_logs(key="orders[2026-01-31]")]
    assert lines == [("2026-01-31", ("making 2026-01-31",))]


def test_logs_are_found_however_many_attempts_came_after_them(workspace: Workspace) -> None:
    workspace.assets("""
    @asset(partitions=Daily("2023-01-01", end="2025-10-10"))
    def days(partition: Partition) -> int:
        print("making", partition.key)
        return 1
    """)
    workspace.materialize(executor="inline").raise_for_status()
    workspace.edit("return 1", "return 2")
    workspace.materialize(executor="inline").raise_for_status()
    project = workspace.project()

    assert [len(project.logs(run, "days")) for run in (1, 2, None)] == [1014] * 3
    assert [log.text for log in project.logs(1, "days[2023-01-01]")] == ["making 2023-01-01\n"]
    assert [log.run_id for log in project.logs(key="days[2023-01-01]")] == [2]


def test_two_versions_of_a_partition_are_compared_with_what_made_the_difference(shop: Workspace) -> None:
    project = shop.project()
    found = project.diff("orders[2026-01-30]@1", "orders[2026-01-30]@2")

    assert isinstance(found, TableDiff)
    assert (found.old.name, found.new.name) == ("orders[2026-01-30]@1", "orders[2026-01-30]@2")
    assert found.changed == 1
    assert found.cause is not None
    assert not found.cause.code
    assert project.diff("orders[2026-01-30]") == found


def test_what_a_partition_was_made_of_is_compared(shop: Workspace) -> None:
    project = shop.project()

    assert project.why("orders[2026-01-30]@1").against == "orders[2026-01-30]@1"
    assert project.why("orders[2026-01-30]", against="HEAD~1").against == "orders[2026-01-30]@1 (HEAD~1)"
    assert project.why("orders[2026-01-30]", against="orders[2026-01-30]@1").against == "orders[2026-01-30]@1"
    with pytest.raises(NoSuchVersion, match="has partitions"):
        project.why("orders@1")


@pytest.mark.parametrize(("key", "code"), [
    ("orders[2026-01-30]", "ran"), ("orders[2026-02-01]", "excluded"), ("doubled[2026-01-30]", "excluded"),
])  # fmt: skip
def test_why_a_partition_did_not_run(shop: Workspace, key: str, code: str) -> None:
    found = shop.project().why_not(key)

    assert (found.asset, found.code, found.run) == (key, code, 2)


def test_why_a_partition_that_was_current_did_not_run(workspace: Workspace) -> None:
    parted.make(workspace)
    workspace.materialize(executor="inline").raise_for_status()
    project = workspace.project()

    assert project.why_not("orders[2026-02-01]").code == "current"
    assert project.why_not("doubled[2026-01-30]").code == "ran"
    workspace.materialize("orders", force=True, executor="inline").raise_for_status()
    assert project.why_not("doubled[2026-02-01]").code == "excluded"


# ---------------------------------------------------------------------------------------------------------- selecting


def test_a_partition_is_planned_as_with_the_option(shop: Workspace) -> None:
    project = shop.project()
    plan = project.plan("doubled[2026-01-31]")

    assert [step.asset for step in plan.run] == ["doubled[2026-01-31]"]
    assert (plan.selection, plan.partitions) == ("doubled", "2026-01-31")
    assert [step.asset for step in project.plan("orders[2026-01-30]+1").run] == [
        "doubled[2026-01-30]", "by_month[2026-01]",
    ]  # fmt: skip
    assert [step.asset for step in project.plan(["doubled[2026-01]", "orders[2026-01]"]).run] == [
        "doubled[2026-01-30]", "doubled[2026-01-31]",
    ]  # fmt: skip


def test_only_the_partition_that_is_named_is_made(workspace: Workspace) -> None:
    parted.make(workspace)

    assert workspace.outcomes("doubled[2026-01-30]", executor="inline") == {"doubled[2026-01-30]": "materialized"}
    assert workspace.ran() == ["doubled"]


@pytest.mark.parametrize("selection", [
    "doubled[2026-01-30] orders[2026-01-31]", "doubled[2026-01-30] total", "total[2026-01-30]", "doubled[2026-01-30]@1",
    "doubled[2027-01-01]", "doubled[", "doubled[]", "doubled[2026-01-30]x", "not doubled[2026-01-30]",
])  # fmt: skip
@pytest.mark.parametrize("verb", ["plan", "status", "materialize"])
def test_what_cannot_be_selected_is_said(shop: Workspace, verb: str, selection: str) -> None:
    with pytest.raises(UsageError):
        getattr(shop.project(), verb)(selection)


def test_partitions_are_named_once(shop: Workspace) -> None:
    with pytest.raises(UsageError, match="both name partitions"):
        shop.project().plan("doubled[2026-01-30]", partitions="2026-01-31")


# ------------------------------------------------------------------------------------------------------ what is wrong

Verb = Callable[[Project, str], object]
ONE: list[Verb] = [
    Project.history, Project.show, Project.rejected, Project.why_not, lambda project, key: project.logs(key=key),
]  # fmt: skip


@pytest.mark.parametrize("verb", ONE, ids=["history", "show", "rejected", "why_not", "logs"])
@pytest.mark.parametrize(("key", "kind", "message"), [
    ("nope[2026-01-30]", NoSuchAsset, "nope"),
    ("total[2026-01-30]", AssetflowError, "total has no partitions"),
    ("orders[2026-01-30", UsageError, "a bracket that is not closed"),
    ("orders[]", UsageError, 'all of them: "orders[*]"'),
])  # fmt: skip
def test_names_that_mean_nothing_are_refused_with_a_way_out(
    shop: Workspace, verb: Verb, key: str, kind: type[AssetflowError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        verb(shop.project(), key)

    assert message in f"{caught.value.what} {caught.value.fix}"


def test_a_partition_that_does_not_exist_is_refused_with_those_that_do(shop: Workspace) -> None:
    with pytest.raises(UsageError, match=re.escape("no partition of `2026-03-01` exists")) as caught:
        shop.project().history("orders[2026-03-01]")
    assert "2026-02-02" in str(caught.value.fix)
    with pytest.raises(NoSuchVersion, match="names 2 partitions"):
        shop.project().show("orders[2026-01]")
    with pytest.raises(NoSuchVersion, match="names 2 partitions"):
        shop.project().read("orders[2026-01]")


def test_what_was_made_of_a_partition_is_found_when_it_is_none_any_more(workspace: Workspace) -> None:
    parted.make(workspace)
    workspace.edit('Daily("2026-01-30"', 'Daily("2026-01-31"')
    project = workspace.project()

    assert numbers(project, "orders[2026-01-30]") == [("2026-01-30", 2, True), ("2026-01-30", 1, False)]
    assert project.read("orders[2026-01-30]@1", as_=list[dict[str, object]]) == [{"day": "2026-01-30", "amount": 30}]
