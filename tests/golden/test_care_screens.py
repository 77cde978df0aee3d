from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# pyright: basic

Golden = Callable[[str, str], None]


def plain(screen: str) -> str:
    """The screen without what differs between two machines and two days."""
    screen = re.sub(r"sqlite \d+\.\d+\.\d+", "sqlite 3.50.0", screen)
    screen = re.sub(r"(local )?file system( \w+)?(?=\s)", "local file system ext4", screen)
    screen = re.sub(r"[\d.]+ GB free", "61.0 GB free", screen)
    screen = re.sub(r"catalog-\d{8}T\d{6}(-\d+)?", "catalog-20260305T133002", screen)
    screen = re.sub(r"\b\d+(\.\d)? (kB|B)\b", "1.0 kB", screen)
    return re.sub(r"[0-9a-f]{16}-[0-9a-f]{12}", "0123456789abcdef-0123456789ab", screen)


def built(cafe, prices: int = 3) -> None:
    for price in range(prices):
        cafe.change(
            cafe.root.joinpath("data/orders.csv").read_text().splitlines()[1],
            f"1,espresso,{price + 1}.5,served",
            "data/orders.csv",
        )
        cafe.run("materialize", "-q", "--progress", "none")


def data_of(cafe, key: str) -> Path:
    return next((cafe.root / ".assetflow" / "data").glob(f"{key}/_/*/data.parquet"))


def test_gc(cafe, golden: Golden) -> None:
    built(cafe)
    little = ("--keep", "1", "--keep-days", "0", "--grace", "0")
    golden("gc_nothing", plain(cafe.run("gc", "--dry-run")))
    golden("gc_dry_run", plain(cafe.run("gc", *little, "--dry-run")))
    golden("gc_not_asked", plain(cafe.run("gc", *little, "--no-input")))
    golden("gc_done", plain(cafe.run("gc", *little, "-y")))


def test_gc_asks(cafe, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return "n\n"

    built(cafe)
    monkeypatch.setattr(sys, "stdin", Terminal())
    golden("gc_no", plain(cafe.run("gc", "--keep", "1", "--keep-days", "0", "--grace", "0")))


def test_doctor(cafe, golden: Golden) -> None:
    built(cafe, 1)
    golden("doctor_healthy", plain(cafe.run("doctor")))
    file = data_of(cafe, "orders")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    staging = cafe.root / ".assetflow" / "data" / "tmp" / ("9-" + "0" * 32)
    staging.mkdir(parents=True)
    golden("doctor_damage", plain(cafe.run("doctor", "--deep")))
    golden("doctor_fixed", plain(cafe.run("doctor", "--deep", "--fix", "-y")))


def test_a_lost_catalog(cafe, golden: Golden) -> None:
    built(cafe, 2)
    (cafe.root / ".assetflow" / "catalog.db").unlink()
    golden("doctor_no_catalog", plain(cafe.run("doctor")))
    shutil.rmtree(cafe.root / ".assetflow" / "journal")
    golden("doctor_rebuilt", plain(cafe.run("doctor", "--rebuild-catalog", "-y")))


def test_help(cafe, golden: Golden) -> None:
    golden("help_gc", cafe.run("gc", "--help"))
    golden("help_doctor", cafe.run("doctor", "--help"))
