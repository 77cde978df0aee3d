"""Config values as texts: what makes an asset stale, and that it is the same in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from assetflow import Config, Secret
from assetflow.errors import DefinitionError, Location
from assetflow.load.values import config_texts

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace


class Color(Enum):
    RED = "r"
    PAIR = (1, 2)


class Inner(BaseModel):
    b: int = 1
    a: float = Field(2.0, exclude=True)
    token: Secret = Secret("not to be seen")


@dataclass
class Point:
    y: int = 2
    x: int = 1


def texts(config: Config) -> dict[str, str]:
    problems: list[DefinitionError] = []
    found = config_texts(config, "asset `a`", Location("assets.py", 1), problems)
    assert problems == []
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"), (1.0, "1.0"), (True, "true"), (None, "null"), ("ü", '"ü"'), (float("nan"), "NaN"),
        ([1, "a"], '[1,"a"]'), ((1, 2), "[1,2]"), ({"a": 2, "b": 1}, '{"a":2,"b":1}'), ({1: 2}, '{"1":2}'),
        (date(2020, 1, 1), '"2020-01-01"'), (datetime(2020, 1, 1, tzinfo=UTC), '"2020-01-01T00:00:00Z"'),
        (time(3, 4), '"03:04:00"'), (timedelta(days=1, seconds=3.5), '"P1DT3.5S"'), (Decimal("1.10"), '"1.10"'),
        (Path("a/b"), '"a/b"'), (b"abc", '"abc"'), (Color.RED, '"r"'), (Color.PAIR, "[1,2]"),
        (Point(), '{"x":1,"y":2}'), (Inner.model_validate({}), '{"a":2.0,"b":1,"token":"**********"}'),
        (frozenset([3, 1, 2]), "[1,2,3]"),
    ],
)  # fmt: skip
def test_a_value_is_written_in_its_form_of_json(value: object, text: str) -> None:
    made = create_model("Made", __base__=Config, x=(type(value), value))()

    assert texts(made) == {"x": text}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.dates().map(lambda day: {"day": day}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.frozensets(st.text(max_size=2), max_size=4)
    ),
    max_leaves=8,
)


class Holder(BaseModel):
    x: Any


class Wide(Config):
    x: Any
    of: Holder
    names: frozenset[str] = frozenset()


def shape(value: object) -> object:
    """The value such that `==` tells what a function could tell apart by its form in JSON."""
    if isinstance(value, dict):
        return ("dict", [(key, shape(one)) for key, one in cast("dict[object, object]", value).items()])
    if isinstance(value, list):
        return ("list", [shape(one) for one in cast("list[object]", value)])
    if isinstance(value, frozenset):
        return ("list", sorted(("str", one) for one in cast("frozenset[str]", value)))
    return (type(value).__name__, value)


@given(VALUES, VALUES)
def test_texts_are_equal_when_the_values_are_and_differ_when_they_differ(one: object, other: object) -> None:
    first, second = Wide(x=one, of=Holder(x=one)), Wide(x=other, of=Holder(x=other))

    assert texts(first) == texts(first.model_copy(deep=True))
    is_equal = shape(one) == shape(other)
    assert (texts(first)["x"] == texts(second)["x"]) is is_equal
    assert (texts(first)["of"] == texts(second)["of"]) is is_equal


class Derived(Config):
    x: int = 1

    @cached_property
    def double(self) -> int:
        return 2 * self.x

    @model_validator(mode="after")
    def look(self) -> Derived:
        assert self.double
        return self


def test_what_is_derived_from_fields_is_no_value_of_its_own() -> None:
    assert texts(Derived()) == {"x": "1"}


class Loose(Config):
    model_config = ConfigDict(extra="allow")


def test_secrets_are_left_out_wherever_they_stand() -> None:
    made = Loose.model_validate({"n": 1, "key": Secret("not to be seen")})

    assert texts(made) == {"n": "1"}


SETS = """
import json
from assetflow import Config
from assetflow.errors import Location
from assetflow.load.values import config_texts
from typing import Any

class Sets(Config):
    tags: set[str] = {"alpha", "beta", "gamma", "delta"}
    deep: dict[str, list[frozenset[tuple[str, int]]]] = {"b": [frozenset([("x", 1), ("y", 2), ("z", 3)])], "a": []}
    both: Any = frozenset([frozenset(["q", "r", "s"]), frozenset(["t", "u"]), "v"])

print(json.dumps(config_texts(Sets(), "asset `a`", Location("assets.py", 1), [])))
"""


def test_sets_have_one_text_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", SETS], env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }

    (text,) = found
    assert json.loads(text) == {
        "tags": '["alpha","beta","delta","gamma"]',
        "deep": '{"b":[[["x",1],["y",2],["z",3]]],"a":[]}',
        "both": '["v",["q","r","s"],["t","u"]]',
    }


EDITS = {
    "a field that only the file knows": ("model_config = ConfigDict(extra='allow')", "x = 1", "x = 2"),
    "an unknown field by the name of a method": ("model_config = ConfigDict(extra='allow')", "copy = 1", "copy = 2"),
    "a field whose serializer rounds": (
        "x: float = 0\n    @field_serializer('x')\n    def _round(self, x): return round(x)", "x = 1.1", "x = 1.2",
    ),
    "a field that is not serialized": ("x: float = Field(1.0, exclude=True)", "x = 1.1", "x = 1.2"),
    "a field of a model that is not serialized": ("x: Inner = Inner()", "x = {hid = 5}", "x = {hid = 6}"),
    "the order of a dict": ("x: dict[str, int] = {}", "x = {a = 1, b = 2}", "x = {b = 2, a = 1}"),
    "bytes that are no text": ("x: Base64Bytes = b''", "x = '/w=='", "x = '/g=='"),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_a_value_that_the_function_sees_makes_it_stale(workspace: Workspace, case: str) -> None:
    field, before, after = EDITS[case]
    workspace.assets(
        f"""
from pydantic import *
from typing import Any

class Inner(BaseModel):
    hid: int = Field(1, exclude=True)

class Given(Config):
    {field}

@asset
def rates(config: Given) -> str:
    return repr(config)
""",
        settings=f"[config.rates]\n{before}\n",
    )
    workspace.materialize().raise_for_status()
    assert workspace.states() == {"rates": "current"}

    workspace.edit(before, after, "assetflow.toml")

    assert [reason.code for reason in workspace.project().plan()["rates"].reasons] == ["config_changed"]


def test_a_config_with_a_set_is_current_and_runs_in_other_processes(workspace: Workspace) -> None:
    workspace.assets("""
        class Given(Config):
            tags: set[str] = {"alpha", "beta", "gamma", "delta"}

        @asset
        def rates(config: Given) -> int:
            return len(config.tags)

        @asset
        def prices(rates: int) -> int:
            return rates
        """)

    result = workspace.materialize(executor="processes")

    assert {one.asset: one.state for one in result} == {"rates": "materialized", "prices": "materialized"}
    seeds = [
        subprocess.run(
            [sys.executable, "-m", "assetflow", "plan", "-C", str(workspace.root)],
            env={**os.environ, "PYTHONHASHSEED": seed, "ASSETFLOW_SHORT": "0"}, stdout=subprocess.PIPE, check=True,
        ).stdout
        for seed in ("0", "1")
    ]  # fmt: skip
    assert all(b"rates" not in screen for screen in seeds)
