"""Runs the real command line in a real project, with the clock stopped, and compares whole screens with files."""

from __future__ import annotations

import getpass
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assetflow.cli.main import main

SCREENS = Path(__file__).parent / "screens"
NOW = 1772717402.0  # 2026-03-05 13:30:02 UTC
LATER_S = 7_500.0

ASSETS = '''
"""A small café."""

from __future__ import annotations

import pyarrow as pa
from assetflow import Config, Freshness, asset, check, not_null, row_count, source

Rows = list[dict[str, object]]

raw_orders = source("raw_orders", path="data/orders.csv", group="raw", description="Orders of the till.")


@asset(group="staging", checks=[not_null("order_id")])
def orders(raw_orders: Rows) -> pa.Table:
    """One row for each order that was served."""
    print("reading", len(raw_orders), "orders")
    return pa.Table.from_pylist([row for row in raw_orders if row["status"] == "served"])


@asset(group="marts", owners=["ann@cafe.example"], tags={"tier": "gold"}, freshness=Freshness(within="24h"))
def revenue(orders: Rows) -> pa.Table:
    """What each drink brought in."""
    totals: dict[object, float] = {}
    for row in orders:
        totals[row["drink"]] = totals.get(row["drink"], 0.0) + with_tip(row["price"])
    return pa.table({"drink": list(totals), "revenue": list(totals.values()), "currency": ["EUR"] * len(totals)})


def with_tip(price):
    return price


class MenuConfig(Config):
    cheapest: float = 0.0


@asset(group="marts")
def menu(orders: Rows, config: MenuConfig) -> Rows:
    return [{"drink": drink} for drink in sorted({row["drink"] for row in orders if row["price"] > config.cheapest})]


@asset(group="marts", checks=[row_count(1)])
def report(revenue: Rows, menu: Rows) -> Rows:
    """One line that says it all."""
    return [{"drinks": len(menu), "revenue": sum(row["revenue"] for row in revenue)}]


@check("revenue", blocking=False)
def is_positive(revenue: Rows) -> bool:
    """Nothing is given away."""
    return all(row["revenue"] > 0 for row in revenue)
'''

ORDERS = """order_id,drink,price,status
1,espresso,2.5,served
2,flat white,3.5,served
3,tea,2.0,returned
4,espresso,2.5,served
"""


class Cafe:
    """A project in a folder, and the screens of the commands that are run in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys

    def write(self, name: str, text: str, at: float = NOW - 600) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (at, at))

    def change(self, old: str, new: str, name: str = "assets.py") -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def run(self, *arguments: str, now: float = NOW + LATER_S, zone: str = "--utc") -> str:
        """The whole screen of a command, with what differs between two runs replaced."""
        code = main([*arguments, *([zone] if zone else [])], now=now)
        captured = self._capsys.readouterr()
        words = [f"'{word}'" if " " in word else word for word in arguments]
        parts = [f"$ {' '.join(['assetflow', *words])}\n", captured.out]
        if captured.err:
            parts += ["-- stderr\n", captured.err]
        parts.append(f"-- exit {code}\n")
        return normalised("".join(parts), self.root)


def normalised(text: str, root: Path) -> str:
    """The text without what differs between two machines: folders, sizes of Parquet files, digests."""
    text = text.replace(str(root), "/home/you/cafe")
    text = re.sub(r"\b\d\.\d kB", "1.0 kB", text)
    text = re.sub(r"(?<=bytes=)\d{4}", "1000", text)
    text = re.sub(r"^(assetflow_(?:store_)?bytes\{.*\}) \d{4,}$", r"\1 1000", text, flags=re.MULTILINE)
    return re.sub(r"(?<=content )[0-9a-f]{8}", "01234567", text)


@pytest.fixture
def cafe(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cafe:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "ASSETFLOW_ENV", "LINES", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(getpass, "getuser", lambda: "you")
    monkeypatch.setattr(platform, "node", lambda: "laptop")
    for clock in ("time", "perf_counter", "monotonic"):
        monkeypatch.setattr(time, clock, lambda: NOW)
    found = Cafe(tmp_path / "cafe", capsys)
    found.write("assets.py", ASSETS)
    found.write("data/orders.csv", ORDERS)
    found.write("assetflow.toml", 'modules = ["assets"]\nworkers = 2\n\n[config.menu]\ncheapest = 1.0\n')
    monkeypatch.chdir(found.root)
    return found


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a screen with its file, or writes the file with --update-golden."""

    def compare(name: str, actual: str) -> None:
        path = SCREENS / f"{name}.txt"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return
        expected = path.read_text(encoding="utf-8") if path.exists() else ""

        assert actual == expected, f"{path.name} differs; look at it, then run pytest tests/golden --update-golden"

    return compare
