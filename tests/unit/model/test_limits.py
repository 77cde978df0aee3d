"""What an asset may take while it is computed, as people write it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from assetflow.model.amounts import memory_bytes
from assetflow.model.declare import AssetDefinition, asset, definition_of
from assetflow.model.policies import Limits, limits


def test_asset_carries_its_limits() -> None:
    @asset(timeout="10m", memory="2GB", pool={"warehouse": 2})
    def orders() -> list[int]:
        return [1]

    found = definition_of(orders)

    assert isinstance(found, AssetDefinition)
    assert found.limits == Limits(600.0, 2_000_000_000, None, {"warehouse": 2})
    assert found.limits.needs_process


@pytest.mark.parametrize(
    ("given", "needs_process"),
    [
        (limits(), False),
        (limits(pool="warehouse"), False),
        (limits(timeout=timedelta(seconds=5)), True),
        (limits(memory=10**9), True),
        (limits(isolation="process"), True),
    ],
)
def test_only_what_must_be_ended_from_outside_needs_a_process(given: Limits, needs_process: bool) -> None:
    assert given.needs_process is needs_process


def test_nearer_limits_win_one_by_one() -> None:
    assert limits(timeout=5).over(limits(timeout=9, memory="1kB", pool="a")) == limits(5, "1kB", None, "a")


@pytest.mark.parametrize(
    ("text", "amount"), [("1kB", 1000), ("1.5 GiB", 1610612736), ("2gb", 2 * 10**9), (17, 17), ("300B", 300)]
)
def test_memory_as_people_write_it(text: str | int, amount: int) -> None:
    assert memory_bytes(text) == amount


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"timeout": 0}, "a timeout is more than nothing"),
        ({"memory": "2 apples"}, "is not an amount of memory"),
        ({"memory": 0}, "more than nothing"),
        ({"isolation": "thread"}, '"process" is'),
        ({"pool": {"warehouse": 0}}, "at least one slot"),
    ],
)
def test_mistake_is_said(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        limits(**wrong)  # pyright: ignore[reportArgumentType] - that is the point
