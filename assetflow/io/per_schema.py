"""What is worked out of a schema alone is worked out once: many tables of a run have the same one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
_MOST = 2000


def per_schema(function: Callable[[pa.Schema], T]) -> Callable[[pa.Schema], T]:
    """The function, which is called once for each schema with its metadata; nobody may change what it answers."""
    known: dict[bytes, T] = {}

    @wraps(function)
    def found(schema: pa.Schema) -> T:
        key = schema.serialize().to_pybytes()
        if key in known:
            return known[key]
        answer = function(schema)
        if len(known) >= _MOST:
            known.clear()
        known[key] = answer
        return answer

    return found
