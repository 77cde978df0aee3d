"""Finding the definitions that modules contain: decorated functions and sources, alone or in lists and dicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import cast

from msgspec import Struct

from assetflow.model.declare import Definition, definition_of


class Collected(Struct, frozen=True):
    """A definition and the name of the module that it was found in."""

    definition: Definition
    module: str


def collect(modules: Mapping[str, ModuleType]) -> list[Collected]:
    """The definitions in the attributes of the modules, each once, in the order in which modules were imported."""
    found: dict[int, Collected] = {}
    for name, module in modules.items():
        for value in list(vars(module).values()):
            for definition in definitions_in(value):
                home = getattr(getattr(definition, "function", None), "__module__", None) or name
                found.setdefault(id(definition), Collected(definition, home))
    return list(found.values())


def definitions_in(value: object) -> Iterator[Definition]:
    """The definition of `value`, or those of the items of a list, tuple or dict."""
    definition = definition_of(value)
    if definition is not None:
        yield definition
    elif isinstance(value, (list, tuple)):
        yield from _each(cast("Iterable[object]", value))
    elif isinstance(value, dict):
        yield from _each(list(cast("dict[object, object]", value).values()))


def _each(values: Iterable[object]) -> Iterator[Definition]:
    for value in values:
        definition = definition_of(value)
        if definition is not None:
            yield definition
