"""Canonical texts of config values: equal values have equal texts in every process, and others have others.

They are made of the values themselves: what a model says of its serialization (`exclude=True`, serializers that round)
is meant for readers of JSON, and the function sees the value all the same. What has a JSON form is written in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Iterable, Mapping, Set as AbstractSet
from enum import Enum
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pydantic import BaseModel


def field_text(model: BaseModel, name: str) -> str:
    """The text of a field; a value of a class that nobody knows is written as its field would serialize it.

    Raises:
        PydanticSerializationError, ValueError, RecursionError: it cannot be written.
    """
    from pydantic_core import PydanticSerializationError

    is_declared = name in type(model).model_fields  # what is not may have the name of a method
    try:
        return _text(getattr(model, name) if is_declared else (model.model_extra or {})[name])
    except PydanticSerializationError:
        dumped = model.model_dump(mode="json", include={name})
        if name not in dumped:
            raise
        return _text(dumped[name])


def _text(value: object) -> str:
    from pydantic import BaseModel

    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, Enum)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()  # in their order, which the function sees
        return _object((_key(key), _text(one)) for key, one in items)
    if isinstance(value, (list, tuple, deque)):
        return _array(_text(one) for one in cast("Iterable[object]", value))
    if isinstance(value, AbstractSet):  # its order is another one in each process
        return _array(sorted(_text(one) for one in cast("AbstractSet[object]", value)))
    if hasattr(value, "get_secret_value"):
        return json.dumps(str(value), ensure_ascii=False)  # stars
    if isinstance(value, BaseModel):
        return _model(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = sorted(field.name for field in dataclasses.fields(value))
        return _object((_quoted(name), _text(getattr(value, name))) for name in names)
    return _leaf(value)


def _model(model: BaseModel) -> str:
    """A model within a config, its fields by name: they have no order that a function would go by."""
    from pydantic import RootModel

    if isinstance(model, RootModel):
        return field_text(cast("BaseModel", model), "root")
    names = sorted((*type(model).model_fields, *(model.model_extra or ())))
    return _object((_quoted(name), field_text(model, name)) for name in names)


def _leaf(value: object) -> str:
    """Enums, dates, paths, numbers of another kind, addresses: in the form that pydantic writes them."""
    from pydantic_core import to_jsonable_python

    if isinstance(value, Enum):
        return _text(cast("object", value.value))
    if isinstance(value, bytes):
        try:
            return _quoted(value.decode())
        except UnicodeDecodeError:
            return f"bytes({_quoted(value.hex())})"
    return json.dumps(to_jsonable_python(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _key(key: object) -> str:
    """The key of a mapping, which JSON has as a text."""
    from pydantic_core import to_jsonable_python

    if isinstance(key, str) and not isinstance(key, Enum):
        return _quoted(key)
    (text,) = cast("dict[str, object]", to_jsonable_python({key: None}))
    return _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _object(items: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{text}" for key, text in items) + "}"


def _array(texts: Iterable[str]) -> str:
    return f"[{','.join(texts)}]"
