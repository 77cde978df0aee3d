"""`backfill` as people and programs see it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from assetflow.automation.chunks import Draft, Strip, size_of
from assetflow.cli.render_backfill import strip_lines
from assetflow.cli.text import cells, flat
from assetflow.model.keys import AssetKey
from assetflow.partitions.ordinals import Ordinals
from assetflow.partitions.windows import Daily
from tests.unit.cli.conftest import Cli

SHOP = """
import pyarrow as pa

from assetflow import Daily, Partition, asset

DAYS = Daily("2026-01-01", end="2026-04-30")


@asset(partitions=DAYS)
def orders(partition: Partition) -> pa.Table:
    if partition.key in BAD:
        raise ValueError("no such day")
    return pa.table({"day": [partition.key]})


BAD = ["2026-01-03"]


@asset
def total(orders: pa.Table) -> pa.Table:
    return pa.table({"days": [len(orders)]})
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop_to_fill"]\nexecutor = "inline"\ndiscover = false\n')
    (tmp_path / "shop_to_fill.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_asks_above_a_hundred_partitions_and_refuses_where_nobody_can_answer(shop: Path, cli: Cli) -> None:
    asked = cli("backfill", "orders", "-p", "2026")

    assert asked.code == 2
    assert "to make   120 · 0 current" in asked.err
    assert "error[AF001]: `backfill` asks before it does that, and nobody can answer" in asked.err
    assert "help: add -y" in asked.err
    assert cli("backfill", "ls", "--json").document["data"]["backfills"] == []
    assert cli("backfill", "orders", "-p", "2026", "--dry-run").code == 0, "who only looks is not asked"


def test_failures_are_told_with_the_command_that_goes_on(shop: Path, cli: Cli) -> None:
    failed = cli("backfill", "-p", "2026-01-01..2026-01-06", "--chunk", "3")

    assert failed.code == 1
    assert "✗ 1/2  run #1  2026-01-01..2026-01-03  2 made · 1 failed" in failed.err
    assert "✗ orders[2026-01-03]  ValueError: no such day" in failed.err
    assert "✓ 2/2  run #2  2026-01-04..2026-01-06  3 made" in failed.err
    assert "backfill #1 ✗ failed · 5 of 6 partitions done · 1 failed · 1 left · 2 runs" in failed.out
    assert "left out  total: not all partitions are made: 1 left" in failed.out
    assert failed.err.endswith(
        "error[AF160]: backfill #1: 1 partition failed, 1 left\n"
        "  help: assetflow backfill --resume 1 tries again what is left\n"
    )
    (shop / "shop_to_fill.py").write_text(SHOP.replace('["2026-01-03"]', "[]"))
    stale = cli("backfill", "--resume", "1", "--dry-run", "--json").document["data"]
    assert (stale["resumes"], stale["planned"], stale["assets"][0]["states"]) == (1, 6, {"stale": 5, "failed": 1})


def test_too_many_failures_say_how_to_go_on(shop: Path, cli: Cli) -> None:
    (shop / "shop_to_fill.py").write_text(SHOP.replace("partition.key in BAD", "partition.key > '2026-01-02'"))
    stopped = cli("backfill", "orders", "-p", "2026-01", "--max-failures", "1", "--json")

    assert stopped.code == 1
    assert stopped.document["error"]["message"] == "backfill #1 stopped: more than 1 failure, 29 left"
    listed = cli("backfill", "ls", "--format", "csv").out.splitlines()
    assert listed[1].startswith("1,stopped,orders,2026-01,2,31,2,")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(shop: Path, cli: Cli) -> None:
    text = SHOP.replace('raise ValueError("no such day")', "os.kill(os.getpid(), signal.SIGINT)")
    (shop / "shop_to_fill.py").write_text(f"import os\nimport signal\n{text}")
    stopped = cli("backfill", "-p", "2026-01-01..2026-01-06", "--chunk", "4")

    assert stopped.code == 130
    assert "backfill #1 ✗ interrupted" in stopped.out
    assert stopped.err.endswith(" resume  assetflow backfill --resume 1\ninterrupted: what was built is kept\n")


def test_programs_read_what_was_done_and_what_would_be(shop: Path, cli: Cli) -> None:
    words = ("backfill", "orders", "-p", "latest:2", "--json")
    plan = cli(*words, "--dry-run").document["data"]
    done = cli(*words).document["data"]

    assert plan["assets"] == [
        {"asset": "orders", "partitions": "2026-04-29..2026-04-30", "pending": "2026-04-29..2026-04-30",
         "states": {"missing": 2}}
    ]  # fmt: skip
    assert plan["chunks"] == [{"assets": ["orders"], "partitions": "2026-04-29..2026-04-30"}]
    assert (done["backfill"], done["state"], done["done"], done["runs"]) == (1, "done", 2, [1])
    assert done["counts"] == {"materialized": 2}
    assert cli("runs", "show", "1", "--json").document["data"]["trigger"] == "backfill #1"
    assert "all 2 partitions are current · nothing to do" in cli("backfill", "orders", "-p", "latest:2").out


@pytest.mark.parametrize(("words", "message"), [
    (["orders"], "`backfill` has to be told which partitions"),
    (["--resume", "1", "orders"], "--resume goes on with what was asked for"),
    (["--resume", "1", "--order", "newest"], "--resume goes on with what was asked for"),
    (["--pause", "1"], "there is no backfill #1"),
    (["orders", "-p", "2026", "--progress", "jsonl"], "the events of several runs are no answer"),
    (["orders", "-p", "2026", "--chunk", "0"], "`0` is not a number of 1 or more"),
    (["orders", "-p", "2027"], "no partition of `2027` exists"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(shop: Path, cli: Cli, words: Sequence[str], message: str) -> None:
    refused = cli("backfill", *words)

    assert refused.code == 2
    assert message in refused.err


def strip(states: Sequence[str], asset: str = "orders") -> Strip:
    return Strip(AssetKey(asset), Daily("1970-01-01"), Ordinals.run(0, len(states)), tuple(states))


def test_partitions_share_a_glyph_where_there_is_no_room_and_the_worst_is_seen() -> None:
    states = ["current"] * 1000
    states[500], states[501], states[740] = "stale", "missing", "failed"
    lines = [flat(line) for line in strip_lines([strip(states)], 100)]
    glyphs = lines[0].split()[1]

    assert max(map(cells, lines[:1])) <= 100
    assert len(glyphs) <= 100
    assert (glyphs.count("○"), glyphs.count("✗"), glyphs.count("◐")) == (1, 1, 0)
    assert set(glyphs) == {"●", "○", "✗"}
    assert "one glyph stands for up to" in lines[1]
    assert [flat(line) for line in strip_lines([strip(["missing", "current"])], 100)] == [
        " orders   ○●   1 of 2 current", " ● current  ○ missing",
    ]  # fmt: skip


def test_a_hundred_thousand_partitions_are_cut_into_runs_at_once() -> None:
    draft = Draft({}, {AssetKey("orders"): strip(["missing"] * 100_000)})
    size = size_of(None, draft.strips.values())
    chunks = list(draft.chunks(draft.groups(), "newest", size))

    assert (size, len(chunks), sum(len(chunk.slots) for chunk in chunks)) == (1000, 100, 100_000)
    assert chunks[0].slots[-1].startswith("orders[2243-")
    assert size_of(None, [strip(["missing"] * 30)]) == 50
