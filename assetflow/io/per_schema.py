"""What is worked out of a schema alone is worked out once: many tables of a run have the same one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
_MOST, _LATEST = 2000, 64


def per_schema(function: Callable[[pa.Schema], T]) -> Callable[[pa.Schema], T]:
    """The function, which is called once for each schema with its metadata; nobody may change what it answers."""
    known: dict[bytes, T] = {}
    latest: dict[int, tuple[pa.Schema, T]] = {}  # an object that is kept here has its number for itself

    @wraps(function)
    def found(schema: pa.Schema) -> T:
        same = latest.get(id(schema))
        if same is not None and same[0] is schema:
            return same[1]
        key = schema.serialize().to_pybytes()
        answer = known[key] if key in known else function(schema)
        if len(known) >= _MOST:
            known.clear()
        known[key] = answer
        if len(latest) >= _LATEST:
            latest.clear()
        latest[id(schema)] = schema, answer
        return answer

    return found
