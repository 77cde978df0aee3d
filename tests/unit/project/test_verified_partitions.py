"""Running single partitions again on what they read, and comparing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow.checking.verifying import Verification
from assetflow.errors import UsageError

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

DAYS = ("2026-01-30", "2026-01-31", "2026-02-01")

SHOP = """
HERE = Path(__file__).parent
DAYS = Daily("2026-01-30", end="2026-02-01")

visits = source("visits", path="{partition}.csv", partitions=DAYS)

@asset(partitions=DAYS)
def pages(visits: Rows, partition: Partition) -> Rows:
    ran(f"pages {partition.key}")
    return [{"day": partition.key, "pages": len(visits) + int((HERE / "more.txt").read_text())}]

@asset(partitions=DAYS, batch=True, partition_column="day")
def rates(partition: Partition) -> pa.Table:
    ran(f"rates {partition.key}")
    return pa.Table.from_pylist([{"day": key, "rate": 1.5} for key in partition.keys])

@asset(partitions=DAYS)
def both(pages: Annotated[Rows, In(window=-1)], rates: Rows) -> Rows:
    return [{"pages": sum(row["pages"] for row in pages), "rate": rates[0]["rate"]}]

@asset
def total(pages: Rows) -> Rows:
    return [{"pages": sum(row["pages"] for row in pages)}]
"""


@pytest.fixture(scope="module")
def shop(shared_workspace: Workspace) -> Workspace:
    """Every day has one visit, and 2026-02-01 another one later; since then functions count one page more."""
    workspace = shared_workspace
    workspace.assets(SHOP, "discover = false\n")
    workspace.file("more.txt", "0")
    for day in DAYS:
        workspace.file(f"{day}.csv", "page\n/\n")
    workspace.materialize(executor="inline").raise_for_status()
    workspace.file("2026-02-01.csv", "page\n/\n/cart\n")
    workspace.ran()
    return workspace


@pytest.fixture(autouse=True)
def nothing_is_stored(shop: Workspace) -> object:
    before = shop.stored()
    yield
    assert shop.stored() == before
    shop.file("more.txt", "0")
    shop.ran()


def states(found: Verification) -> dict[str, str]:
    return {one.asset: one.state for one in found}


def test_one_partition_is_run_again_alone(shop: Workspace) -> None:
    found = shop.project().verify("pages[2026-01-31]")

    assert states(found) == {"pages[2026-01-31]": "same"}
    assert shop.ran() == ["pages 2026-01-31"]


def test_a_partition_that_comes_out_differently_says_where(shop: Workspace) -> None:
    shop.file("more.txt", "1")
    found = shop.project().verify("pages[2026-01]")

    assert states(found) == {"pages[2026-01-30]": "differs", "pages[2026-01-31]": "differs"}
    assert found["pages[2026-01-30]"].diff is not None
    assert found["pages[2026-01-30]"].is_nondeterministic


def test_a_partition_whose_file_has_changed_cannot_be_run_again(shop: Workspace) -> None:
    one = shop.project().verify("pages[2026-02-01]")["pages[2026-02-01]"]

    assert (one.state, one.why) == (
        "cannot", "the source `visits[2026-02-01]` has changed since, and of sources no copies are kept",
    )  # fmt: skip


def test_a_partition_that_was_made_with_others_is_run_by_itself(shop: Workspace) -> None:
    assert states(shop.project().verify("rates[2026-01-31]")) == {"rates[2026-01-31]": "same"}
    assert shop.ran() == ["rates 2026-01-31"]


def test_what_reads_partitions_is_run_on_the_versions_that_it_read(shop: Workspace) -> None:
    assert states(shop.project().verify("both[2026-01-31..] or both[2026-01-30]")) == {
        f"both[{day}]": "same" for day in DAYS
    }
    assert states(shop.project().verify("total")) == {"total": "same"}


def test_of_an_asset_alone_those_with_a_version_are_run_or_a_sample_of_them(shop: Workspace) -> None:
    project = shop.project()
    assert set(states(project.verify("rates"))) == {f"rates[{day}]" for day in DAYS}
    drawn = project.verify("rates both", sample=2, seed=7)
    assert (len(drawn.items), drawn.left_out) == (2, 4)
    assert states(project.verify("rates both", sample=2, seed=7)) == states(drawn)


def test_what_cannot_be_named_is_refused(shop: Workspace) -> None:
    for selection in ("total[2026-01-30]", "pages[2027-01-01]", "pages[2026-01-30] total"):
        with pytest.raises(UsageError):
            shop.project().verify(selection)
    assert shop.project().verify("visits").items == ()


def test_a_partition_without_a_version_is_said_when_it_is_named(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    workspace.file("more.txt", "0")
    project = workspace.project()

    assert states(project.verify("rates[2026-01-30]")) == {"rates[2026-01-30]": "cannot"}
    assert project.verify("rates").items == ()
