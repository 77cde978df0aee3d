from __future__ import annotations

import json

import pytest

from assetflow.errors import BadDeclaration
from assetflow.partitions.axes import Axes, Axis
from assetflow.partitions.cron_windows import Cron
from assetflow.partitions.definition import Definition
from assetflow.partitions.forms import definition_from_json, mapping_from_json
from assetflow.partitions.hours import Hourly
from assetflow.partitions.mappings import All, Identity, Latest, Mapping, Previous, StaticMap, TimeWindow
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static, Whole
from assetflow.partitions.windows import Daily, Monthly, Weekly

DEFINITIONS: list[tuple[Definition, dict[str, object]]] = [
    (Daily("2026-01-01"), {"kind": "daily", "start": "2026-01-01"}),
    (
        Hourly("2026-01-01", end="2026-01-02", tz="Asia/Kathmandu", end_offset=1, exclude="2026-01-01T06"),
        {"kind": "hourly", "start": "2026-01-01T00", "end": "2026-01-02T23", "tz": "Asia/Kathmandu", "end_offset": 1,
         "exclude": ["2026-01-01T06"]},
    ),
    (Weekly("2026-01-01"), {"kind": "weekly", "start": "2026-W02"}),
    (Monthly("2026"), {"kind": "monthly", "start": "2026-01"}),
    (Cron("0 6 * * 1-5", start="2026-01-01"),
     {"kind": "cron", "expression": "0 6 * * 1-5", "start": "2026-01-01T0600"}),
    (Static(["eu", "us"]), {"kind": "static", "names": ["eu", "us"]}),
    (Dynamic("customers"), {"kind": "dynamic", "name": "customers"}),
    (Dynamic("customers").with_keys(["b", "a"], removed=["b"]),
     {"kind": "dynamic", "name": "customers", "added": ["b", "a"], "removed": ["b"]}),
    (Whole(), {"kind": "whole"}),
    (Multi({"port": Static(["JFK"]), "day": Daily("2026-01-01")}),
     {"kind": "multi", "axes": {"port": {"kind": "static", "names": ["JFK"]},
                                "day": {"kind": "daily", "start": "2026-01-01"}}}),
]  # fmt: skip
MAPPINGS: list[Mapping] = [
    Identity(), TimeWindow(-6, 0), TimeWindow(), All(), Latest(), Previous(),
    StaticMap({"east": ["JFK"], "west": "LAX"}), Axis("day", TimeWindow(-1)),
    Axes({"day": TimeWindow(-6), "port": All()}),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "told"), DEFINITIONS)
def test_definitions_come_back_from_json(definition: Definition, told: dict[str, object]) -> None:
    assert definition.to_json() == told
    back = definition_from_json(json.loads(json.dumps(told)))

    assert back == definition
    assert hash(back) == hash(definition)
    assert str(back) == str(definition)
    assert type(back) is type(definition)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_mappings_come_back_from_json(mapping: Mapping) -> None:
    back = mapping_from_json(json.loads(json.dumps(mapping.to_json())))

    assert back == mapping
    assert hash(back) == hash(mapping)
    assert back.to_json() == mapping.to_json()


def test_all_are_different_values() -> None:
    assert len({definition for definition, _ in DEFINITIONS}) == len(DEFINITIONS)
    assert len({*MAPPINGS}) == len(MAPPINGS)


@pytest.mark.parametrize(
    ("told", "what", "fix"),
    [
        ({"kind": "dayly"}, "there is no kind `dayly` of partitions or mappings", "did you mean `daily`?"),
        ({}, "there is no kind `None` of partitions or mappings",
         "the kinds are hourly, daily, weekly, monthly, cron, static, dynamic, multi, whole"),
        ({"kind": "daily", "begin": "2026"}, "`daily` does not take these fields: begin", None),
    ],
)  # fmt: skip
def test_a_form_that_is_none_is_refused(told: dict[str, object], what: str, fix: str | None) -> None:
    with pytest.raises(BadDeclaration) as raised:
        definition_from_json(told)

    assert raised.value.what == what
    assert fix is None or raised.value.fix == fix
