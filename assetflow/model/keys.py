"""Asset keys and the other names that users choose: what is legal, and why not."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NewType

from assetflow.errors import IllegalName, Location

AssetKey = NewType("AssetKey", str)
"""`name` or `schema.name`; in SQL the same text names the table."""

UNPARTITIONED = ""
"""The partition key of an asset that has no partitions."""


@lru_cache(maxsize=4096)  # neighbours read the same partitions: they share the names
def slot(asset: AssetKey, partition: str) -> AssetKey:
    """The name of an asset partition, `orders[2026-01-05]`; of an asset without partitions its key.

    Graphs, plans and runs have these names as keys; no key of an asset has a bracket in it.
    """
    return AssetKey(f"{asset}[{partition}]") if partition else asset


@lru_cache(maxsize=4096)  # asked many times of a slot and of its neighbours while it is looked at
def split_slot(name: AssetKey) -> tuple[AssetKey, str]:
    """The asset key and the partition key that `slot` put together."""
    if not name.endswith("]"):
        return name, UNPARTITIONED
    asset, _, partition = name[:-1].partition("[")
    return AssetKey(asset), partition


def arguments_of(name: AssetKey) -> list[str]:
    """What a command is given for an asset, or for one partition of it: `orders -p 2026-01-05`."""
    asset, partition = split_slot(name)
    return [asset, "-p", partition] if partition else [asset]


_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,62}\Z")
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)), *(f"lpt{i}" for i in range(10))])
_SCHEMAS = frozenset(["main", "temp", "system", "information_schema", "pg_catalog", "_assetflow"])


def parse_key(text: str, where: Location | None = None) -> AssetKey:
    """`text` as an asset key.

    Raises:
        IllegalName: it is not one or two ASCII identifiers, or a part is reserved by Python, SQL or a file system.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users may give anything
        raise IllegalName(f"an asset key is text, not {text!r}", fix='write key="orders"', where=where)
    parts = text.split(".")
    fix = "use letters, digits and underscores: `orders` or `marts.orders`"
    if len(parts) > 2:
        raise IllegalName(f"asset key `{text}` has more than two parts", fix=fix, where=where)
    for part in parts:
        if not _PART.match(part):
            raise IllegalName(f"asset key `{text}` is not a legal name", fix=fix, where=where)
        if keyword.iskeyword(part):
            raise IllegalName(f"asset key `{text}` contains the Python keyword `{part}`", fix=fix, where=where)
        if part.lower() in _DEVICES:
            raise IllegalName(f"asset key `{text}` contains `{part}`, a device name on Windows", fix=fix, where=where)
    if len(parts) == 2 and parts[0].lower() in _SCHEMAS:
        raise IllegalName(
            f"asset key `{text}` uses the schema `{parts[0]}`, which DuckDB keeps for itself",
            fix="choose another schema name, or write the key without a schema",
            where=where,
        )
    return AssetKey(text)


def parse_label(text: str, what: str, where: Location | None = None) -> str:
    """`text` as a group, tag or environment name: 1 to 63 of letters, digits, `_`, `.`, `-`."""
    if not _LABEL.match(text):
        raise IllegalName(
            f"{what} `{text}` is not a legal name",
            fix="use 1 to 63 letters, digits, `_`, `.` or `-`, not starting with `.` or `-`",
            where=where,
        )
    return text


def last_name(key: str) -> str:
    """`orders` for `marts.orders`: the name that a parameter uses."""
    return key.rpartition(".")[2]


def find_key(name: str, keys: Iterable[AssetKey]) -> AssetKey | None:
    """The key that `name` means: itself, or the only one that has it as its last part; None when there is none."""
    known = list(keys)
    if name in known:
        return AssetKey(name)
    same = [key for key in known if last_name(key) == name]
    return same[0] if len(same) == 1 else None
