"""The places of very many partitions are those of each of them."""

from __future__ import annotations

from random import Random

from hypothesis import example, given, strategies as st

from assetflow import Daily, Static
from assetflow.model.keys import AssetKey
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import Side
from assetflow.partitions.ordinals import Ordinals
from assetflow.run.places import Places

DAYS = Daily("2026-01-20", end="2026-04-10", exclude=["2026-02-03"])
NAMES = Static(["b", "a", "c", "ab"])
KEY = AssetKey("day")


def existing(definition: Definition) -> Ordinals:
    return definition.clip(Ordinals.run(0, 30_000))


@given(
    definition=st.sampled_from([DAYS, NAMES]),
    part=st.tuples(st.integers(0, 80), st.integers(1, 80)),
    without=st.integers(-1, 80),
    odd=st.sampled_from(["", "2025-12-31", "gone", "2026-02-03", "2026-1-20"]),
    order=st.sampled_from(["up", "down", "from the middle", "at random"]),
    dice=st.randoms(use_true_random=False),
)
@example(DAYS, (0, 80), 20, "2026-02-03", "up", Random(1))
def test_many_places_are_that_of_each(
    definition: Definition, part: tuple[int, int], without: int, odd: str, order: str, dice: Random
) -> None:
    side = Side(definition, existing(definition))
    names = [*definition.keys(side.existing)][part[0] : sum(part)]
    names = [name for place, name in enumerate(names) if place != without] + ([odd] if odd else [])
    if order == "down":
        names.reverse()
    elif order == "from the middle":
        names = names[len(names) // 2 :] + names[: len(names) // 2]
    elif order == "at random":
        dice.shuffle(names)
    if not names:
        return
    places = Places({KEY: side})
    each = [places.ordinal(KEY, name) for name in names]

    ordinals, placed = places.in_order(KEY, names)

    assert [each[place] for place in placed or range(len(names))] == [*ordinals]
    known = [one for one in ordinals if one is not None]
    assert known == sorted(known) or len(known) < len(names)
    assert sorted(placed or range(len(names))) == [*range(len(names))]
