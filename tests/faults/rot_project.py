"""The project of the bit rot harness: one asset for every kind of file that the store writes.

This file is copied into the project as its `assets.py`, and imported by the harness, which knows from `table` and
`plain` what every version must hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assetflow import asset, source

ASSETS = ("small", "large", "kinds", "facts", "blob", "note", "folder", "model", "ducks")
TABLES = ("small", "large", "kinds", "ducks")
LARGE_ROWS = 700_000

numbers = source("numbers", path="numbers.json")


def table(name: str, generation: int) -> Any:
    """The rows of a table asset, as a pandas frame."""
    import numpy as np
    import pandas as pd

    if name == "large":
        dice = np.random.default_rng(generation)
        return pd.DataFrame({"key": np.arange(LARGE_ROWS), "noise": dice.integers(0, 2**62, LARGE_ROWS)})
    rows = np.arange(200 + generation)
    words = [f"{name}-{generation}-{row % 17}" for row in rows]
    return pd.DataFrame(
        {
            "key": rows,
            "value": (rows * 104729 + generation * 7919) % 1000003 / 8,
            "word": pd.Categorical(words) if name == "kinds" else words,
        }
    )


def plain(name: str, generation: int) -> Any:
    """The value of an asset that is no table; what `folder` and `note` hold as bytes by file name."""
    if name == "facts":
        return {"generation": generation, "list": [generation * n for n in range(300)], "text": "ä" * 50}
    if name == "blob":
        return f"blob {generation}\n".encode() * 900
    if name == "note":
        return {"note.txt": f"note {generation}\n".encode() * 300}
    if name == "folder":
        return {f"part-{n}.bin": f"part {n} of {generation}\n".encode() * 200 for n in range(3)}
    return {"weights": tuple(range(generation, generation + 500)), "generation": generation}


@asset
def small(numbers: list[dict[str, Any]]) -> Any:
    return table("small", numbers[0]["generation"])


@asset
def large(numbers: list[dict[str, Any]]) -> Any:
    return table("large", numbers[0]["generation"])


@asset
def kinds(numbers: list[dict[str, Any]]) -> Any:
    return table("kinds", numbers[0]["generation"])


@asset
def facts(numbers: list[dict[str, Any]]) -> dict[str, Any]:
    return plain("facts", numbers[0]["generation"])


@asset
def blob(numbers: list[dict[str, Any]]) -> bytes:
    return plain("blob", numbers[0]["generation"])


@asset
def note(numbers: list[dict[str, Any]]) -> Path:
    return _written("note", numbers[0]["generation"]) / "note.txt"


@asset
def folder(numbers: list[dict[str, Any]]) -> Path:
    return _written("folder", numbers[0]["generation"])


@asset(io="pickle")
def model(numbers: list[dict[str, Any]]) -> Any:
    return plain("model", numbers[0]["generation"])


@asset(io="duckdb")
def ducks(numbers: list[dict[str, Any]]) -> Any:
    return table("ducks", numbers[0]["generation"])


def _written(name: str, generation: int) -> Path:
    place = Path(__file__).parent / "scratch" / name
    place.mkdir(parents=True, exist_ok=True)
    for file, content in plain(name, generation).items():
        (place / file).write_bytes(content)
    return place
