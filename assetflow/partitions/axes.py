"""Mappings where one side or both are products: axis by axis, and what is mapped when nothing was said."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

from assetflow.errors import BadDeclaration
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import (
    All,
    Identity,
    Latest,
    Mapping,
    Previous,
    Side,
    StaticMap,
    TimeWindow,
    same_keys,
)
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static, Whole
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.partitions.windows import TimeDefinition

_ONLY = ""


@dataclass(frozen=True, slots=True)
class Axis(Mapping):
    """One axis of a product against a definition without axes: `Axis("day", TimeWindow(-6, 0))`.

    A reader without axes reads all combinations of the other axes; combinations that read one without axes all read
    the same of it.
    """

    name: str
    mapping: Mapping = field(default_factory=Identity)
    kind = "axis"

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """What the mapping gives on the axis, with everything on the others."""
        return _upstream(self._links(up.definition, down.definition), wanted, up, down)

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """What the mapping gives on the axis, with everything on the others."""
        return _downstream(self._links(up.definition, down.definition), changed, up, down)

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Needs one product that has the axis, and one definition without axes."""
        products = [side for side in (up, down) if isinstance(side, Multi)]
        if len(products) != 1:
            return "one axis goes between a product and a definition without axes"
        if self.name not in products[0].axes:
            return f"the axes of the product are {', '.join(products[0].axes)}, not `{self.name}`"
        (up_axis, down_axis), mapping = self._links(up, down)[0]
        return mapping.problem(_axes_of(up)[up_axis], _axes_of(down)[down_axis])

    def to_json(self) -> dict[str, object]:
        """The mapping as JSON-able values."""
        return {"kind": self.kind, "name": self.name, "mapping": self.mapping.to_json()}

    def _links(self, up: Definition, down: Definition) -> list[_Link]:
        ends = tuple(self.name if isinstance(side, Multi) else _ONLY for side in (up, down))
        return [((ends[0], ends[1]), self.mapping)]


@dataclass(frozen=True, slots=True)
class Axes(Mapping):
    """A mapping for each axis that two products share: `Axes({"day": TimeWindow(-6, 0)})`.

    Shared axes that are not named are mapped by key. Where the only axes of time have different names (`day` and
    `month`), they are mapped as well: by the time that they share, unless one of the names says otherwise. Of another
    axis that only the upstream has everything is read; one that only the reader has makes no difference.
    """

    by_name: MappingOf[str, Mapping] = field(default_factory=dict[str, Mapping], compare=False, repr=False)
    _pairs: tuple[tuple[str, Mapping], ...] = field(init=False, default=())
    kind = "axes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", dict(self.by_name))
        object.__setattr__(self, "_pairs", tuple(sorted(self.by_name.items(), key=lambda pair: pair[0])))

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """Every combination of what the mappings give on the axes."""
        return _upstream(self._links(up.definition, down.definition), wanted, up, down)

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """Every combination of what the mappings give on the axes."""
        return _downstream(self._links(up.definition, down.definition), changed, up, down)

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Needs products that share the named axes, and mappings that fit these."""
        if not isinstance(up, Multi) or not isinstance(down, Multi):
            return "mappings by axis go between two products"
        shared = [name for pair in _pairs(up, down) for name in dict.fromkeys(pair)]
        foreign = next((name for name in self.by_name if name not in shared), None)
        if foreign is not None:
            return f"the products share {' and '.join(shared) or 'no axis'}, not `{foreign}`"
        for (up_axis, down_axis), mapping in self._links(up, down):
            problem = mapping.problem(up.axes[up_axis], down.axes[down_axis])
            if problem is not None:
                return f"on the axis `{up_axis}`: {problem}"
        return None

    @property
    def looks_back(self) -> bool:
        """Whether the mapping of one axis does: a combination before another on one axis is never the same."""
        return any(mapping.looks_back for _, mapping in self._pairs)

    def to_json(self) -> dict[str, object]:
        """The mapping as JSON-able values."""
        return {"kind": self.kind, "by_name": {name: mapping.to_json() for name, mapping in self._pairs}}

    def _links(self, up: Definition, down: Definition) -> list[_Link]:
        found: list[_Link] = []
        for one, other in _pairs(up, down) if isinstance(up, Multi) and isinstance(down, Multi) else ():
            said = self.by_name.get(one) or self.by_name.get(other)
            found.append(((one, other), said or (Identity() if one == other else TimeWindow())))
        return found


_Link = tuple[tuple[str, str], Mapping]
"""The axis of the upstream, that of the reader, and what goes between them."""


def fitted(mapping: Mapping | None, up: Definition, down: Definition) -> Mapping:
    """The mapping for an edge, as was declared or as the definitions suggest.

    A mapping without axes is put on the axis it means: windows, the latest and the previous on that of time. Without
    one, equal keys are mapped to equal keys, time to the time that it overlaps, a product to the axis that is like the
    other side, and what has no partitions to all.

    Raises:
        BadDeclaration: it does not fit, or nothing is suggested.
    """
    chosen = _suggested(up, down) if mapping is None else _placed(mapping, up, down)
    problem = chosen.problem(up, down)
    if problem is not None:
        raise BadDeclaration(problem, fix="choose another mapping, or All() to read everything")
    return chosen


def _placed(mapping: Mapping, up: Definition, down: Definition) -> Mapping:
    if not isinstance(mapping, (Identity, TimeWindow, StaticMap, Latest, Previous)):
        return mapping
    if isinstance(up, Multi) and isinstance(down, Multi):
        if isinstance(mapping, Identity):
            return Axes()
        name = up.time_axis
        if isinstance(mapping, StaticMap) or name is None or all(one != name for one, _ in _pairs(up, down)):
            return mapping
        return Axes({name: mapping})
    product = next((side for side in (up, down) if isinstance(side, Multi)), None)
    if product is None:
        return mapping
    means_time = isinstance(mapping, TimeWindow) or (isinstance(mapping, Latest) and product is up)
    return Axis(product.time_axis, mapping) if means_time and product.time_axis is not None else mapping


def _suggested(up: Definition, down: Definition) -> Mapping:
    if isinstance(up, Whole) or isinstance(down, Whole):
        return All()
    if isinstance(up, Multi) and isinstance(down, Multi):
        if pairs := _pairs(up, down):
            between = {name: _between(up.axes[name], down.axes[other]) for name, other in pairs}
            return Axes({name: mapping for name, mapping in between.items() if mapping is not None})
        raise BadDeclaration(f"{up} and {down} share no axis", fix="name shared axes alike, or map with All()")
    product, single = (up, down) if isinstance(up, Multi) else (down, up)
    if isinstance(product, Multi):
        names = [name for name, axis in product.axes.items() if axis == single]
        names = names or [name for name, axis in product.axes.items() if _between(axis, single) is not None]
        if len(names) != 1:
            raise BadDeclaration(
                f"more than one axis of {product} goes with {single}"
                if names
                else f"no axis of {product} goes with {single}",
                fix='say which, such as Axis("day"), or map with All()',
            )
        between = _between(up.axes[names[0]], down) if isinstance(up, Multi) else _between(up, product.axes[names[0]])
        return Axis(names[0], between or Identity())
    mapping = _between(up, down)
    if mapping is None:
        raise BadDeclaration(f"{up} and {down} have nothing in common", fix="map with StaticMap({...}) or All()")
    return mapping


def _between(up: Definition, down: Definition) -> Mapping | None:
    """What goes between two definitions without axes when nothing was said."""
    if isinstance(up, TimeDefinition) and isinstance(down, TimeDefinition):
        alike = same_keys(up, down) and up.tz == down.tz
        return Identity() if alike else TimeWindow()
    if up == down:
        return Identity()
    if isinstance(up, Static) and isinstance(down, Static) and set(up.names) & set(down.names):
        return Identity()
    return Identity() if isinstance(up, Dynamic) and isinstance(down, Dynamic) and up.name == down.name else None


def _pairs(up: Multi, down: Multi) -> list[tuple[str, str]]:
    """The axes that two products share: those of one name, and the only ones of time whatever they are called."""
    found = [(name, name) for name in up.axes if name in down.axes]
    one, other = up.time_axis, down.time_axis
    if one is not None and other is not None and one not in down.axes and other not in up.axes:
        found.append((one, other))
    return found


def _axes_of(definition: Definition) -> MappingOf[str, Definition]:
    return definition.axes if isinstance(definition, Multi) else {_ONLY: definition}


def _boxes(definition: Definition, ordinals: Ordinals) -> list[dict[str, Ordinals]]:
    return definition.boxes(ordinals) if isinstance(definition, Multi) else [{_ONLY: ordinals}]


def _together(definition: Definition, sets: dict[str, Ordinals]) -> Ordinals:
    return definition.of(sets) if isinstance(definition, Multi) else sets[_ONLY]


def _sides(side: Side) -> dict[str, Side]:
    """Each axis with what exists on it."""
    if not isinstance(side.definition, Multi):
        return {_ONLY: side}
    return {name: Side(axis, side.definition.along(name, side.existing)) for name, axis in side.definition.axes.items()}


def _upstream(links: list[_Link], wanted: Ordinals, up: Side, down: Side) -> Ordinals:
    ups, downs = _sides(up), _sides(down)
    found: list[Ordinals] = []
    for box in _boxes(down.definition, wanted) if wanted else []:
        sets = {name: side.existing for name, side in ups.items()}
        for (up_axis, down_axis), mapping in links:
            sets[up_axis] = mapping.upstream(box[down_axis], ups[up_axis], downs[down_axis])
        found.append(_together(up.definition, sets))
    return _union(found)


def _downstream(links: list[_Link], changed: Ordinals, up: Side, down: Side) -> Ordinals:
    ups, downs = _sides(up), _sides(down)
    linked = {up_axis for (up_axis, _), _ in links}
    found: list[Ordinals] = []
    for box in _boxes(up.definition, changed) if changed else []:
        if any(not box[name] & side.existing for name, side in ups.items() if name not in linked):
            continue
        sets = {name: side.existing for name, side in downs.items()}
        for (up_axis, down_axis), mapping in links:
            sets[down_axis] = mapping.downstream(box[up_axis], ups[up_axis], downs[down_axis])
        found.append(_together(down.definition, sets))
    return _union(found) & down.existing


def _union(sets: list[Ordinals]) -> Ordinals:
    return Ordinals.joined(span for part in sets for span in part.spans) if sets else EMPTY
