"""Digests of very many sets at once are those of each of them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from assetflow import Daily
from assetflow.model.keys import AssetKey
from assetflow.model.spec import InputSpec
from assetflow.partitions.mappings import Mapping, Side, TimeWindow
from assetflow.partitions.ordinals import Ordinals
from assetflow.plan.bulk import Edge, Running
from assetflow.plan.slotkeys import digest_of_set, member, slot_key, slot_keys

DAYS = Daily("1970-01-01", end="1970-03-01")


def edge_of(mapping: Mapping, up: Ordinals, down: Ordinals) -> Edge:
    return Edge(InputSpec("day", AssetKey("day"), "value"), mapping, Side(DAYS, up), Side(DAYS, down))


@given(
    up=st.frozensets(st.integers(0, 20)),
    is_run=st.booleans(),
    missing=st.frozensets(st.integers(0, 20), max_size=2),
    readers=st.frozensets(st.integers(-5, 30)),
    window=st.tuples(st.integers(-6, 6), st.integers(-6, 6)).map(sorted),
)
def test_windows_have_the_digests_of_their_sets(
    up: frozenset[int], is_run: bool, missing: frozenset[int], readers: frozenset[int], window: list[int]
) -> None:
    existing = Ordinals.run(min(up), max(up) + 1) if up and is_run else Ordinals.of(*up)
    settled = {one: f"hash {one}" for one in existing if one not in missing}
    numbers = [member(DAYS.key(one), content) for one, content in settled.items()]
    edge = edge_of(TimeWindow(*window), existing, Ordinals.of(*readers))

    found = Running(existing, Ordinals.of(*settled), numbers).digests(edge, sorted(readers))

    def expected(reader: int) -> str | None:
        read = [one for one in existing if reader + window[0] <= one <= reader + window[1]]
        if any(one not in settled for one in read):
            return None
        return digest_of_set((DAYS.key(one), settled[one]) for one in read) if read else ""

    assert found == [expected(reader) for reader in sorted(readers)]


@pytest.mark.parametrize("sets", [[], [["1:a", "2:b"]], [["1:a", "2:b"], ["3:c", "4:d"]]])
def test_keys_of_many_partitions_are_the_key_of_each(sets: list[list[str]]) -> None:
    names = ["2026-01-01", "a\nb"]

    assert slot_keys("base", sets, names) == [
        slot_key("base", [one[place] for one in sets], name) for place, name in enumerate(names)
    ]
    assert slot_key("base", ["1:a"], "x") == "afk1:9d1c804002b395ec24df6a0ef3c697c6", "as catalogs have it"
