"""Definitions and mappings from the JSON-able values that their `to_json` wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping as MappingOf
from typing import Any, TypeVar

from assetflow.errors import BadDeclaration, did_you_mean
from assetflow.partitions.axes import Axes, Axis
from assetflow.partitions.cron_windows import Cron
from assetflow.partitions.definition import Definition
from assetflow.partitions.hours import Hourly
from assetflow.partitions.mappings import All, Identity, Latest, Mapping, Previous, StaticMap, TimeWindow
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static, Whole
from assetflow.partitions.windows import Daily, Monthly, Weekly

Made = TypeVar("Made")
Told = MappingOf[str, Any]  # what JSON gives: each builder knows its own fields


def definition_from_json(told: Told) -> Definition:
    """The definition that `to_json` wrote.

    Raises:
        BadDeclaration: there is no such kind, or its fields do not fit.
    """
    return _made(told, _DEFINITIONS)


def mapping_from_json(told: Told) -> Mapping:
    """The mapping that `to_json` wrote.

    Raises:
        BadDeclaration: there is no such kind, or its fields do not fit.
    """
    return _made(told, _MAPPINGS)


def _made(told: Told, builders: MappingOf[str, Callable[..., Made]]) -> Made:
    kind = str(told.get("kind"))
    if kind not in builders:
        fix = did_you_mean(kind, builders) or f"the kinds are {', '.join(builders)}"
        raise BadDeclaration(f"there is no kind `{kind}` of partitions or mappings", fix=fix)
    fields = {name: value for name, value in told.items() if name != "kind"}
    try:
        return builders[kind](**fields)
    except TypeError as error:
        raise BadDeclaration(f"`{kind}` does not take these fields: {', '.join(fields)}", fix=str(error)) from error


def _multi(axes: MappingOf[str, Told]) -> Multi:
    return Multi({name: definition_from_json(axis) for name, axis in axes.items()})


def _dynamic(name: str, added: list[str] | None = None, removed: list[str] | None = None) -> Dynamic:
    return Dynamic(name).with_keys(added or (), removed or ())


def _axis(name: str, mapping: Told) -> Axis:
    return Axis(name, mapping_from_json(mapping))


def _axes(by_name: MappingOf[str, Told]) -> Axes:
    return Axes({name: mapping_from_json(mapping) for name, mapping in by_name.items()})


_DEFINITIONS: MappingOf[str, Callable[..., Definition]] = {
    Hourly.kind: Hourly, Daily.kind: Daily, Weekly.kind: Weekly, Monthly.kind: Monthly, Cron.kind: Cron,
    Static.kind: Static, Dynamic.kind: _dynamic, Multi.kind: _multi, Whole.kind: Whole,
}  # fmt: skip
_MAPPINGS: MappingOf[str, Callable[..., Mapping]] = {
    Identity.kind: Identity, TimeWindow.kind: TimeWindow, StaticMap.kind: StaticMap, All.kind: All,
    Latest.kind: Latest, Previous.kind: Previous, Axis.kind: _axis, Axes.kind: _axes,
}  # fmt: skip
