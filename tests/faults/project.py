"""The workload: a small project whose every version is a function of one integer, the generation.

The generation lies in the source file, and every row and value carries it, so that whoever reads a version can compute
what all of it must be (`checker.py` does, with the same formula written again) and sees whether two are mixed.
"""

from __future__ import annotations

from pathlib import Path

SOURCE = "numbers.csv"

SETTINGS = 'name = "faults"\nmodules = ["assets"]\n'

ASSETS = """
from __future__ import annotations

import pandas as pd
import pyarrow as pa

from assetflow import Out, asset, assets, source

numbers = source("numbers", path="numbers.csv")


def table(salt: int, generation: int) -> dict[str, list[object]]:
    count = 20 + generation % 7
    return {
        "generation": [generation] * count,
        "row": list(range(count)),
        "value": [(generation * 7919 + row * 104729 + salt) % 1000003 for row in range(count)],
        "word": [f"{generation}/{row}/{salt}" for row in range(count)],
    }


@asset
def plain(numbers: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(table(1, int(numbers.generation.iloc[0])))


@asset
def arrows(plain: pa.Table) -> pa.Table:
    return pa.table(table(2, plain["generation"][0].as_py()))


@asset
def facts(arrows: pd.DataFrame) -> dict[str, object]:
    generation = int(arrows.generation.iloc[0])
    return {"generation": generation, "rows": len(arrows), "total": int(arrows.value.sum())}


@asset
def blob(facts: dict[str, object]) -> bytes:
    return f"generation {facts['generation']}\\n".encode() * 400


@asset
def parity(facts: dict[str, object]) -> dict[str, object]:
    return {"parity": facts["generation"] % 2}


@assets(Out("left"), Out("right"))
def pair(plain: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    generation = int(plain.generation.iloc[0])
    return pd.DataFrame(table(3, generation)), pd.DataFrame(table(4, generation))
"""

NATIVE = """

@asset(io="duckdb")
def ducks(plain: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(table(5, int(plain.generation.iloc[0])))
"""

SALTS = {"plain": 1, "arrows": 2, "left": 3, "right": 4, "ducks": 5}
TARGETS = ("plain", "arrows", "facts", "blob", "parity", "left", "right")


def make(root: Path, generation: int = 1, *, native: bool = False) -> None:
    """Write the project into an empty folder; `native` adds an asset in the DuckDB file, which is slow."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "assetflow.toml").write_text(SETTINGS)
    (root / "assets.py").write_text(ASSETS.lstrip() + (NATIVE if native else ""))
    set_generation(root, generation)


def set_generation(root: Path, generation: int) -> None:
    """Change the source, so that every asset has something new to hold."""
    (root / SOURCE).write_text(f"generation,factor\n{generation},3\n{generation},5\n")


def generation_of(root: Path) -> int:
    """What the source says now."""
    return int((root / SOURCE).read_text().splitlines()[1].split(",")[0])
