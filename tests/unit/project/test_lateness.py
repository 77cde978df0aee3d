"""What makes assets late, and that the fix which is told for it is one: each case is mended as its fix says."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.cli.main import main
from assetflow.model.keys import AssetKey
from assetflow.model.records import Attempt
from assetflow.run.locks import run_lock

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

DAY = 86_400.0
SHOP = """
raw = source("raw", path="raw.csv")
other = source("other", path="other.csv")

@asset
def orders(raw: Rows) -> Rows:
    return raw

@asset
def rates(other: Rows) -> Rows:
    return other

@asset(freshness=Freshness(within="24h"))
def revenue(orders: Rows) -> int:
    return len(orders)

@asset(freshness=Freshness(within="24h"))
def report(revenue: int, rates: Rows) -> int:
    return revenue + len(rates)

@asset(freshness=Freshness(within="40d"))
def archive(rates: Rows) -> int:
    return len(rates)
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    touched(workspace, "raw.csv", 3.0)
    touched(workspace, "other.csv", 0.1)
    workspace.materialize().raise_for_status()
    return workspace


def touched(shop: Workspace, name: str, days: float, rows: int = 1) -> None:
    """A source file with so many rows that is so many days old."""
    path = shop.file(name, "n\n" + "1\n" * rows)
    os.utime(path, (time.time() - days * DAY, time.time() - days * DAY))


def causes(shop: Workspace) -> dict[str, str]:
    return {row.spec.key: row.late.words for row in shop.project().status() if row.late is not None}


def fixes(shop: Workspace) -> dict[tuple[str, ...], str]:
    return {root.assets: root.fix for root in shop.project().status().late_roots}


def late(shop: Workspace) -> list[str]:
    return sorted(shop.project().status().overdue)


def test_a_source_without_newer_data_is_the_cause_of_all_that_would_be_late_however_often_they_are_built(
    shop: Workspace,
) -> None:
    assert causes(shop) == dict.fromkeys(("revenue", "report"), "raw has no newer data")
    assert fixes(shop) == {("revenue", "report"): "put newer data there, then assetflow materialize raw+"}
    shop.materialize(force=True)
    assert late(shop) == ["report", "revenue"]

    touched(shop, "raw.csv", 0.2, rows=2)
    shop.materialize("raw+")

    assert (late(shop), causes(shop)) == ([], {})


def test_newer_data_that_nobody_has_run_on_makes_the_first_asset_that_has_not_run_the_cause(shop: Workspace) -> None:
    touched(shop, "raw.csv", 0.2, rows=2)

    assert causes(shop) == dict.fromkeys(("revenue", "report"), "orders is stale (raw v1 → new content)")
    assert fixes(shop) == {("revenue", "report"): "assetflow materialize orders+"}
    shop.materialize("orders+")
    assert late(shop) == []


def test_an_asset_that_is_stale_but_no_newer_for_it_leaves_the_source_as_the_cause(shop: Workspace) -> None:
    shop.edit("return len(orders)", "return len(orders) + 0")

    assert shop.states()["revenue"] == "stale"
    assert set(causes(shop).values()) == {"raw has no newer data"}


def test_a_failure_that_keeps_newer_data_back_is_the_cause_with_its_run(shop: Workspace) -> None:
    touched(shop, "raw.csv", 0.2, rows=2)
    shop.edit("    return raw\n", "    raise ValueError('no')\n")
    shop.materialize()

    assert shop.states()["report"] == "blocked"
    assert causes(shop) == dict.fromkeys(("revenue", "report"), "orders failed (run #2)")
    assert fixes(shop) == {("revenue", "report"): "assetflow logs orders, then assetflow materialize orders+"}
    shop.edit("    raise ValueError('no')\n", "    return raw\n")
    shop.materialize("orders+")
    assert late(shop) == []


def test_what_a_check_rejected_is_a_failure_too(shop: Workspace) -> None:
    touched(shop, "raw.csv", 0.2, rows=2)
    shop.edit("@asset\ndef orders", "@asset(checks=[row_count(5)])\ndef orders")
    shop.materialize()

    assert set(causes(shop).values()) == {"orders was rejected by a check (run #2)"}


def test_of_a_failure_and_something_that_was_not_run_the_failure_is_the_cause(shop: Workspace) -> None:
    touched(shop, "raw.csv", 0.2, rows=2)
    shop.edit("    return other\n", "    raise ValueError('no')\n")
    shop.materialize("rates", with_upstream=False)

    assert causes(shop) == {"revenue": "orders is stale (raw v1 → new content)", "report": "rates failed (run #2)"}


def test_what_runs_now_is_waited_for(shop: Workspace) -> None:
    touched(shop, "raw.csv", 0.2, rows=2)
    project = shop.project()
    lock = run_lock(project.settings, project.env)
    assert lock.acquire()
    catalog = Catalog(project.settings.catalog_path, write=True)
    run_id, _ = catalog.begin_run("dev", selection="", cause="cli", user="ann", host="desk", pid=1, at=time.time())
    catalog.save_attempts("dev", [Attempt(run_id, AssetKey("orders"), "", 1, "running", time.time(), None)])
    catalog.close()

    assert causes(shop) == dict.fromkeys(("revenue", "report"), "orders is running (run #2)")
    assert list(fixes(shop).values()) == ["assetflow logs 2 -f"]
    lock.release()
    assert set(causes(shop).values()) == {"orders died (run #2)"}, "its process is gone"


def test_what_an_asset_comes_after_holds_it_back_only_when_it_cannot_be_built(workspace: Workspace) -> None:
    workspace.assets("""
    raw = source("raw", path="raw.csv")

    @asset
    def vacuum() -> int:
        return 1

    @asset(deps=["vacuum"], freshness=Freshness(within="24h"))
    def orders(raw: Rows) -> Rows:
        return raw
    """)
    touched(workspace, "raw.csv", 3.0)
    workspace.materialize().raise_for_status()
    touched(workspace, "raw.csv", 0.2, rows=2)
    workspace.edit("return 1", "return 2")
    assert causes(workspace) == {"orders": "orders is stale (raw v1 → new content)"}

    workspace.edit("return 2", "raise ValueError('no')")
    workspace.materialize()
    assert workspace.states()["orders"] == "blocked"
    assert causes(workspace) == {"orders": "vacuum failed (run #2)"}


def test_a_source_that_is_gone_comes_before_all_else(shop: Workspace) -> None:
    shop.edit("    return raw\n", "    raise ValueError('no')\n")
    shop.materialize()
    (shop.root / "raw.csv").unlink()

    assert set(causes(shop).values()) == {"raw is not there"}
    assert list(fixes(shop).values()) == ["assetflow show raw"]


def test_a_pin_at_older_data_is_the_cause_and_letting_go_of_it_the_fix(shop: Workspace) -> None:
    shop.project().pin("orders")
    touched(shop, "raw.csv", 0.2, rows=2)

    assert set(causes(shop).values()) == {"orders is pinned at older data"}
    assert list(fixes(shop).values()) == ["assetflow unpin orders, then assetflow materialize orders+"]
    shop.project().unpin("orders")
    shop.materialize("orders+")
    assert late(shop) == []


def test_an_asset_that_makes_its_data_itself_is_late_until_it_is_forced(workspace: Workspace) -> None:
    workspace.assets("""
    @asset(freshness=Freshness(within="1h"))
    def fetched() -> int:
        return 1
    """)
    workspace.materialize()
    now = time.time() + 2 * 3600
    (root,) = workspace.project().status(now=now).late_roots

    assert root.cause.words == "fetched was not made since, and nothing makes it run"
    assert root.fix == "assetflow materialize fetched --force"
    assert workspace.project().status("fetched")["fetched"].late is None, "an hour is not over yet"


def test_a_source_that_only_runs_ask_says_when_it_was_asked(workspace: Workspace) -> None:
    workspace.assets("""
    feed = source("feed", version=lambda: "one", load=lambda: 1, freshness=Freshness(within="1h"))

    @asset(freshness=Freshness(within="1h"))
    def after(feed: int) -> int:
        return feed
    """)
    assert causes(workspace) == {"feed": "feed was never asked", "after": "after was never made"}
    workspace.materialize().raise_for_status()
    (root,) = workspace.project().status(now=time.time() + 7200).late_roots

    assert (root.cause.words, root.fix) == (
        "feed had no newer data when it was last asked", "assetflow materialize feed+",
    )  # fmt: skip


def test_an_asset_with_a_deadline_and_no_data_says_what_it_waits_for_and_is_not_overdue(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    touched(workspace, "raw.csv", 0.1)
    touched(workspace, "other.csv", 0.1)

    assert causes(workspace) == {
        "revenue": "orders was never made", "report": "orders was never made", "archive": "rates was never made",
    }  # fmt: skip
    assert workspace.project().status().overdue == ()


def test_a_selection_has_the_causes_of_what_is_selected(shop: Workspace) -> None:
    roots = shop.project().status("report").late_roots

    assert [(root.cause.asset, root.assets) for root in roots] == [("raw", ("report",))]


def test_content_and_time_stay_two_things(shop: Workspace) -> None:
    row = shop.project().status()["revenue"]

    assert (row.state, str(row.freshness.timeliness), row.late is None) == ("current", "overdue", False)


def test_why_says_that_an_asset_is_late_though_it_is_current(
    shop: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    found = shop.project().why("report")

    assert (found.action, found.late is not None and found.late.asset) == ("current", "raw")
    assert found.late_s == pytest.approx(2 * DAY, abs=600)
    assert shop.project().why("archive").late is None
    assert main(["-C", str(shop.root), "why", "report"]) == 0
    assert "overdue         2 d: raw has no newer data" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------- against what really happens

HELD_BACK = {"unavailable", "failed", "blocked", "stale", "missing"}


class Story:
    """A random project to which random things happen, and that can be mended: then everything is built that can be."""

    def __init__(self, workspace: Workspace, seed: int) -> None:
        self.workspace, self.chance = workspace, random.Random(seed)
        self.inputs: dict[str, list[str]] = {}
        for number in range(6):
            above = [*(f"s{n}" for n in range(3)), *self.inputs]
            self.inputs[f"a{number}"] = self.chance.sample(above, self.chance.choice([0, 1, 1, 2, 2]))
        self.text = dict.fromkeys(self.inputs, "return 1")
        self.pinned: set[str] = set()
        self.edits = 0
        for number in range(3):
            touched(workspace, f"s{number}.csv", self.chance.choice([3.0, 0.1]))
        self.write()

    def write(self) -> None:
        lines = [f's{n} = source("s{n}", path="s{n}.csv")' for n in range(3)]
        for key, inputs in self.inputs.items():
            given = ", ".join(f"{one}: object" for one in inputs)
            lines.append(f'@asset(freshness=Freshness(within="24h"))\ndef {key}({given}) -> int:\n    {self.text[key]}')
        self.workspace.assets("\n\n".join(lines))

    def edit(self, key: str, *, fails: bool = False) -> None:
        self.edits += 1
        self.text[key] = f"raise ValueError({self.edits})" if fails else f"return {self.edits}"
        self.write()

    def happen(self) -> None:
        key = self.chance.choice([*self.inputs])
        match self.chance.choice(["edit", "break", "deliver", "touch", "age", "pin", "build", "build one", "lose"]):
            case "edit":
                self.edit(key)
            case "break":
                self.edit(key, fails=True)
            case "deliver" | "touch" | "age" as what:
                name = f"s{self.chance.randrange(3)}.csv"
                rows = self.chance.randrange(1, 50) if what == "deliver" else 1
                touched(self.workspace, name, 3.0 if what == "age" else 0.2, rows)
            case "pin" if self.workspace.project().status()[key].head is not None:
                self.workspace.project().pin(key)
                self.pinned.add(key)
            case "build":
                self.workspace.materialize()
            case "build one":
                self.workspace.materialize(key)
            case "lose":
                (self.workspace.root / f"s{self.chance.randrange(3)}.csv").unlink(missing_ok=True)
            case _:
                pass

    def mend(self) -> None:
        """Repair what fails, bring back what is gone, and build everything; pins stay."""
        for key, text in self.text.items():
            if text.startswith("raise"):
                self.edit(key)
        for number in range(3):
            if not (self.workspace.root / f"s{number}.csv").exists():
                touched(self.workspace, f"s{number}.csv", 0.0, rows=99)  # another delivery than the one that is gone
        self.workspace.materialize().raise_for_status()


@pytest.mark.parametrize("seed", range(24))
def test_what_is_held_back_is_in_time_once_it_is_built_and_what_has_old_data_is_late_still(
    workspace: Workspace, seed: int
) -> None:
    story = Story(workspace, seed)
    for _ in range(7):
        story.happen()
    now = time.time()
    before = workspace.project().status(now=now)
    told = {row.spec.key: row.late for row in before if row.late is not None}
    assert told.keys() == {
        row.spec.key for row in before if str(row.freshness.timeliness) in ("overdue", "unknown")
    }  # fmt: skip
    story.mend()

    after = set(workspace.project().status(now=now).overdue)
    for key, cause in told.items():
        assert (cause.kind in HELD_BACK) != (key in after), (key, cause.words)
        assert cause.asset in workspace.project().select(f"+{key}"), "it lies above the asset, or is it"
