"""Programs that watch a project from outside: `status --freshness` in scripts, `metrics` while runs go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Folder
from tests.unit.observing.openmetrics_grammar import Labels, read

Series = tuple[str, Labels]

LATE = """
import pandas as pd
from assetflow import Freshness, asset, source

raw = source("raw", path="data/raw.csv")

@asset
def cleaned(raw: pd.DataFrame) -> pd.DataFrame:
    return raw.dropna()

@asset(freshness=Freshness(within="24h"))
def totals(cleaned: pd.DataFrame) -> pd.DataFrame:
    return cleaned.groupby("shop", as_index=False).agg(total=("amount", "sum"))

@asset(freshness=Freshness(by="0 8 * * *", tz="Europe/London"))
def report(totals: pd.DataFrame) -> dict:
    return {"total": float(totals["total"].sum())}

@asset
def apart() -> int:
    return 7
"""

SLOW = """
import time
from pathlib import Path
from assetflow import Retry, asset

GO = Path(__file__).parent / "go"

def make(number):
    @asset(key=f"one_{number}", retry=Retry(2))
    def one() -> int:
        while len(list(Path(__file__).parent.glob("go_*"))) <= number:
            time.sleep(0.005)  # until the test lets it go on
        if number % 3 == 1:
            raise ValueError("no")
        return number
    return one

many = [make(number) for number in range(6)]
"""


@pytest.fixture
def late(make_folder: Callable[[], Folder]) -> Folder:
    folder = make_folder()
    folder.write("assets.py", LATE)
    aged(folder, 3)
    assert folder.run("materialize").code == 0
    return folder


def aged(folder: Folder, days: float) -> None:
    moment = time.time() - days * 86_400
    os.utime(folder.path / "data/raw.csv", (moment, moment))


def test_a_script_learns_what_is_late_and_what_mends_it_by_the_exit_code_and_as_json(late: Folder) -> None:
    found = late.run("status", "--freshness", "--exit-code", "--json")

    assert found.code == 4
    (root,) = found.data["late_roots"]
    assert (root["kind"], root["asset"], root["assets"]) == ("source", "raw", ["totals", "report"])
    rows = {row["asset"]: row for row in found.data["assets"]}
    assert (rows["totals"]["state"], rows["totals"]["timeliness"]) == ("current", "overdue")
    assert rows["apart"]["late"] is None

    late.write("data/raw.csv", "shop,amount\nnorth,1\n")
    (root,) = late.run("status", "--freshness", "--json").data["late_roots"]
    assert (root["kind"], root["asset"], root["fix"]) == ("stale", "cleaned", "assetflow materialize cleaned+")
    assert late.run(*root["fix"].split()[1:]).code == 0
    assert late.run("status", "--freshness", "--exit-code").code == 0


def test_a_failure_is_named_with_its_run_in_every_place_that_says_that_an_asset_is_late(late: Folder) -> None:
    late.write("data/raw.csv", "shop,amount\nnorth,1\n")
    late.replace("assets.py", "return raw.dropna()", "return raw.dropnaa()")
    assert late.run("materialize").code == 1

    screen = late.run("status", "--freshness", "--format", "table", "--exit-code")
    assert screen.code == 4
    words = " ".join(screen.out.split())
    fix = "assetflow logs cleaned, then assetflow materialize cleaned+"
    assert f"root cause: cleaned failed (run #2) · 2 assets → {fix}" in words
    assert "2 overdue · 1 without deadline" not in screen.out, "cleaned has no deadline either"
    assert "2 overdue · 2 without deadline" in screen.out
    assert "cleaned failed (run #2)" in late.run("why", "report").out
    assert "cleaned failed (run #2)" in late.run().out


def test_a_zone_that_is_asked_for_is_the_zone_of_all_times(late: Folder) -> None:
    own = late.run("status", "--freshness", "report", "--format", "table").out
    asked = late.run("status", "--freshness", "report", "--format", "table", "--tz", "Asia/Tokyo").out

    assert "DUE (Europe/London)" in own
    assert "08:00" in own
    assert "DUE (Asia/Tokyo)" in asked
    assert "17:00" in asked or "16:00" in asked, "eight in London, in winter or in summer"


def test_totals_never_fall_while_runs_go_on_and_every_file_is_whole(make_folder: Callable[[], Folder]) -> None:
    folder = make_folder()
    folder.write("assets.py", SLOW)
    target = folder.path / "shop.prom"
    before: dict[Series, float] = {}
    seen: list[float] = []
    for turn in range(2):
        for path in folder.path.glob("go_*"):
            path.unlink()
        process = folder.start("materialize", "-q", "--force", "--progress", "none")
        for step in range(8):
            folder.write(f"go_{step}", "")
            assert folder.run("metrics", "-q", "-o", str(target), cold=True).out == ""  # as slow as the run
            before = _not_fallen(target, before)
            seen.append(sum(before.values()))
        assert process.wait(60) == 1, turn
        process.communicate()
        assert folder.run("metrics", "-q", "-o", str(target)).code == 0
        before = _not_fallen(target, before)

    runs = {dict(labels)["state"]: value for (name, labels), value in before.items() if name == "assetflow_runs_total"}
    assert runs["failed"] == 2
    assert len(set(seen)) > 3, "the totals were looked at while they grew"
    assert [path.name for path in folder.path.glob(".*.tmp")] == []


def _not_fallen(target: Path, before: dict[Series, float]) -> dict[Series, float]:
    families = read(target.read_text(encoding="utf-8"))
    now: dict[Series, float] = {
        key: value
        for family in families.values()
        if family.kind in ("counter", "histogram")
        for key, value in family.samples.items()
    }
    assert before.keys() <= now.keys()
    assert [key for key, value in before.items() if now[key] < value] == []
    return now


def test_metrics_that_cannot_be_written_say_how_to_write_them(late: Folder) -> None:
    failed = late.run("metrics", "-o", str(late.path / "nowhere" / "x.prom"))

    assert failed.code != 0
    assert "cannot be written" in failed.err
    assert "-o FILE" in failed.err
