"""What a function opens without declaring it counts, as seen from the command line and after a disaster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assetflow.care.restoring import restore
from tests.unit.conftest import Workspace
from tests.warm import SERVER

ROOT = Path(__file__).resolve().parents[2]

SHOP = """
raw = source("raw", path="raw.csv")

@asset
def orders(raw: Rows) -> Rows:
    ran("orders")
    return [dict(row) for row in raw]

@asset
def priced(orders: Rows) -> Rows:
    ran("priced")
    rate = int((Path(__file__).parent / "data" / "rates.csv").read_text())
    return [{**row, "price": int(row["n"]) * rate} for row in orders]

@asset
def total(priced: Rows) -> int:
    ran("total")
    return sum(int(row["price"]) for row in priced)
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    workspace.file("raw.csv", "n\n1\n2\n")
    workspace.file("data/rates.csv", "3")
    assert command(workspace, "materialize").returncode == 0
    assert workspace.ran() == ["orders", "priced", "total"]
    return workspace


def command(shop: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASSETFLOW_")}
    words = [sys.executable, "-m", "assetflow", "-C", str(shop.root), *arguments]
    return SERVER.run(words, env={**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"})


def answer(shop: Workspace, *arguments: str) -> Any:
    return json.loads(command(shop, *arguments, "--json").stdout)["data"]


def test_every_verb_says_which_file_it_was(shop: Workspace) -> None:
    assert "nothing to do" in command(shop, "plan").stdout
    assert "data/rates.csv" in command(shop, "show", "priced").stdout
    shop.file("data/rates.csv", "4")

    screen = command(shop, "plan").stdout
    assert "reads data/rates.csv, which changed (seen in run #1)" in screen
    items = {item["asset"]: item for item in answer(shop, "plan")["items"]}
    assert {key: item["action"] for key, item in items.items()} == {
        "orders": "current", "priced": "run", "total": "maybe",
    }  # fmt: skip
    reason = items["priced"]["reasons"][0]
    assert (reason["code"], reason["files"], reason["run"]) == ("discovered_file", ["data/rates.csv"], 1)
    assert "data/rates.csv" in command(shop, "status").stdout
    assert "discovered_file" in command(shop, "status", "--json").stdout
    assert answer(shop, "why", "total")["causes"][0]["evidence"]["file"] == "data/rates.csv"
    assert "data/rates.csv" in command(shop, "why", "total").stdout

    assert command(shop, "materialize").returncode == 0
    assert shop.ran() == ["priced", "total"]
    assert "nothing to do" in command(shop, "plan").stdout
    shop.file("data/rates.csv", "3")
    assert command(shop, "materialize").returncode == 0
    assert shop.ran() == [], "back to what was there: linked, and nothing computed"
    assert "nothing to do" in command(shop, "plan").stdout


def test_a_catalog_that_is_made_again_knows_what_was_opened(shop: Workspace) -> None:
    (shop.root / ".assetflow" / "catalog.db").unlink()
    assert command(shop, "doctor", "--rebuild-catalog", "--yes").returncode == 0
    assert shop.project().plan().is_empty
    shop.file("data/rates.csv", "4")
    assert [step.asset for step in shop.project().plan().run] == ["priced"]


@pytest.mark.parametrize("rate", ["3", "4"])
def test_what_only_sidecars_know_is_linked_if_the_files_are_as_they_were(shop: Workspace, rate: str) -> None:
    state = shop.root / ".assetflow"
    (state / "catalog.db").unlink()
    shutil.rmtree(state / "journal")
    restore(shop.project().settings)
    shop.file("data/rates.csv", rate)

    assert command(shop, "materialize").returncode == 0
    assert shop.ran() == ([] if rate == "3" else ["priced", "total"])


def test_what_fails_records_nothing(shop: Workspace) -> None:
    shop.file("data/rates.csv", "no number")
    assert command(shop, "materialize").returncode == 1
    before = shop.project().plan()["priced"].head
    assert before is not None
    shop.file("data/rates.csv", "3")
    assert shop.project().plan("priced").is_empty
