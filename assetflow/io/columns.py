"""Columns by name: the type names that `types=` of a source takes, and what to say when a column is missing.

Imports nothing heavy, because declarations are checked with it while a project loads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from assetflow.errors import ContractBroken, near_names

_NAMES = frozenset([
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
    "string", "binary", "date32", "time32[s]", "time32[ms]", "time64[us]", "time64[ns]",
])  # fmt: skip
_SYNONYMS = {
    "str": "string",
    "text": "string",
    "date": "date32",
    "float": "float64",
    "double": "float64",
    "int": "int64",
}
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:,\s*(?:tz=)?([\w/+:-]+))?\]\Z")
_DECIMAL = re.compile(r"decimal\((\d{1,2}),\s*(\d{1,2})\)\Z")

TYPE_NAMES = "bool, int64, float64, string, date32, time64[us], timestamp[us], timestamp[us, UTC], decimal(12, 2)"
"""Examples of the type names, for messages."""

OF_INPUTS = "correct the name in `In(columns=[...])`, or ask for a column that is there"
"""What helps where an asset asks for a column of its upstream that is not there."""


def is_type_name(text: str) -> bool:
    """Whether `types=` takes this name.

    Example:
        >>> is_type_name("timestamp[us, UTC]"), is_type_name("varchar")
        (True, False)
    """
    decimal = _DECIMAL.match(text)
    if decimal:
        return 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1])
    return text in _NAMES or text in _SYNONYMS or _TIMESTAMP.match(text) is not None


def arrow_type(text: str) -> Any:
    """The `pyarrow.DataType` of a name that `is_type_name` accepts."""
    import pyarrow as pa

    arrow: Any = pa
    timestamp, decimal = _TIMESTAMP.match(text), _DECIMAL.match(text)
    if timestamp:
        return arrow.timestamp(timestamp[1], timestamp[2])
    if decimal:
        return arrow.decimal128(int(decimal[1]), int(decimal[2]))
    return arrow.type_for_alias(_SYNONYMS.get(text, text))


def require_columns(wanted: Iterable[str], have: Collection[str], what: str, *, fix: str | None = None) -> None:
    """Nothing, when `have` holds every wanted column.

    Raises:
        ContractBroken: a column is missing; the message names the missing ones, the near ones and those there are.
    """
    missing = [name for name in wanted if name not in have]
    if not missing:
        return
    near = near_names(missing[0], have, 2)
    facts = [f"columns: {name_list(have)}"]
    if near:
        facts.append(f"similar: {name_list(near)}")
    raise ContractBroken(
        f"{what} has no column{'s' if len(missing) > 1 else ''} {name_list(missing)}",
        facts=facts,
        fix=fix or OF_INPUTS,
    )


def name_list(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, cut after `most`.

    Example:
        >>> name_list(["a", "b", "c"], 2)
        '`a`, `b` and 1 more'
    """
    found = list(names)
    if not found:
        return "none"
    text = ", ".join(f"`{name}`" for name in found[:most])
    return text if len(found) <= most else f"{text} and {len(found) - most} more"
