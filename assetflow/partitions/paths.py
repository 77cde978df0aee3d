"""Paths with places for a partition: `data/{day}/{airport}.csv` names a file for each combination."""

from __future__ import annotations

import glob
import re
from zoneinfo import ZoneInfo

from assetflow.partitions.cells import axes_of
from assetflow.partitions.definition import Definition
from assetflow.partitions.multi import Multi
from assetflow.partitions.windows import TimeDefinition

ONLY = "partition"
"""The name of the place where there are no axes."""

_PLACE = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


def path_of(path: str, definition: Definition, ordinal: int) -> str:
    """The path of one partition: its key in each place, or its start in the form that stands there (`{day:%Y/%m}`).

    Example:
        >>> from assetflow.partitions.windows import Daily
        >>> path_of("in/{partition:%Y}/{partition}.csv", Daily("2026-01-01"), 20458)
        'in/2026/2026-01-05.csv'
    """
    axes = axes_of(definition, ONLY)
    places = definition.coordinates(ordinal) if isinstance(definition, Multi) else {ONLY: ordinal}
    is_glob = any(mark in path for mark in "*?[")

    def text(match: re.Match[str]) -> str:
        name, form = match[1], match[2]
        if name not in axes:
            return match[0]
        axis, place = axes[name], places[name]
        if form and isinstance(axis, TimeDefinition):
            return axis.window(place).start.astimezone(ZoneInfo(axis.tz)).strftime(form)
        return glob.escape(axis.key(place)) if is_glob else axis.key(place)

    return _PLACE.sub(text, path)


def path_problem(path: str, definition: Definition) -> str | None:
    """What is wrong with the places of a path, as a sentence without a full stop, or None."""
    axes = axes_of(definition, ONLY)
    found = {match[1]: match[2] for match in _PLACE.finditer(path)}
    missing = next((name for name in axes if name not in found), None)
    if missing is not None:
        return f'path="{path}" has no place `{{{missing}}}`, so its partitions would all be one file'
    foreign = next((name for name in found if name not in axes), None)
    if foreign is not None:
        return f'path="{path}" has the place `{{{foreign}}}`; there is {", ".join(f"`{{{name}}}`" for name in axes)}'
    for name, form in found.items():
        if form and not isinstance(axes[name], TimeDefinition):
            return f"`{{{name}:{form}}}` is a form of times, which {axes[name]} are not"
    return None
