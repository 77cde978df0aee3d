"""What jobs would only say when they are due, said before."""

from __future__ import annotations

import pytest

from tests.unit.conftest import Workspace

SHOP = """
from assetflow import Dynamic, job


@asset(partitions=Daily("2026-01-01", end="2026-01-05"))
def orders(partition: Partition) -> int:
    return 1


@asset(partitions=Dynamic("customers"))
def letters(partition: Partition) -> int:
    return 1


@asset
def plain() -> int:
    return 1


made = job("made", "SELECT", cron="0 6 * * *", partitions="PARTITIONS")
"""


def problems(workspace: Workspace, select: str, partitions: str) -> list[str]:
    workspace.assets(SHOP.replace("SELECT", select).replace("PARTITIONS", partitions))
    return [f"{one.where}: {one.what}" for one in workspace.project().check().findings if one.kind == "job"]


@pytest.mark.parametrize(("select", "partitions", "problem"), [
    ("plain", "tick", "`partitions` 'tick': none of its assets has partitions"),
    ("plain", "2026-01-01", "`partitions` '2026-01-01': none of its assets has partitions"),
    ("orders plain", "2026-02-01", "`partitions` '2026-02-01': orders:"),
    ("orders", "yesterday", "`partitions` 'yesterday': orders:"),
    ("orders", "is:old", "`partitions` 'is:old': `is:old` names no partitions"),
])  # fmt: skip
def test_partitions_that_no_asset_of_a_job_has_are_found_with_their_place(
    workspace: Workspace, select: str, partitions: str, problem: str
) -> None:
    found = problems(workspace, select, partitions)

    assert len(found) == 1
    assert found[0].startswith("assets.py:")
    assert f"the job `made` can run nothing with {problem}" in found[0]


@pytest.mark.parametrize(("select", "partitions"), [
    ("orders", "tick"), ("", "tick"), ("orders plain", "latest:3"), ("orders", "2026-01-01..2026-01-03"),
    ("orders", "is:missing"), ("letters", "somebody"), ("plain or is:stale", "tick"),
])  # fmt: skip
def test_what_some_asset_has_or_may_have_later_is_fine(workspace: Workspace, select: str, partitions: str) -> None:
    assert problems(workspace, select, partitions) == []
