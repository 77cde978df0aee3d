"""What the folders of partitions are called, of each by itself and of very many at once."""

from __future__ import annotations

import pytest

from assetflow.io.folders import folder_name, folder_names


@pytest.mark.parametrize("odd", ["", "_", ".", "..", "._", "_a", "a\nb", "\n", "a b", "%", "ü", "x" * 120, "x" * 121])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_folders_of_many_partitions_are_that_of_each(odd: str, place: int) -> None:
    partitions = ["2026-01-01", "a_b.c"]
    partitions.insert(place, odd)

    assert [*folder_names(partitions)] == [folder_name(one) for one in partitions]


@pytest.mark.parametrize(
    ("partition", "folder"),
    [
        ("2026-01-05", "2026-01-05"),
        ("a_b.c", "a_b.c"),
        ("_a", "_a"),
        ("a b%", "a%20b%25"),
        ("a\n", "a%0A"),
        ("ü", "%C3%BC"),
    ],
)
def test_a_folder_is_called_as_its_partition_where_it_can_be(partition: str, folder: str) -> None:
    assert folder_name(partition) == folder


@pytest.mark.parametrize("partition", ["_", ".", "..", "x" * 121])
def test_what_is_no_name_of_a_folder_gets_another(partition: str) -> None:
    assert folder_name(partition).startswith("%-")
