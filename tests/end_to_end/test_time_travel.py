"""Earlier versions, rollback and pins through the command line, in processes of their own."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import Folder

pytestmark = pytest.mark.end_to_end


def test_a_bad_day_is_undone_and_the_good_one_comes_back_for_nothing(folder: Folder) -> None:
    assert folder.run("materialize").code == 0
    folder.write("data/raw.csv", "shop,amount\nnorth,1000\n")
    assert folder.run("materialize").code == 0
    stored = folder.stored()

    refused = folder.run("rollback", "cleaned", "--downstream")
    assert (refused.code, "add -y" in refused.err) == (2, True)
    found = folder.run("rollback", "cleaned", "--downstream", "-y", "--json", "--reason", "bad file").data
    assert [(one["asset"], one["from"], one["to"]) for one in found["moves"]] == [
        ("cleaned", 2, 1), ("totals", 2, 1), ("report", 2, 1),
    ]  # fmt: skip
    assert folder.stored() == stored
    assert folder.run("sql", "select sum(total)::int as total from totals", "--json").data["rows"] == [[35]]

    again = folder.run("materialize", "--json").data
    assert again["outcomes"] == []
    assert folder.states()["report"] == "pinned"
    assert folder.run("unpin", "is:pinned", "--json").data["unpinned"] == ["cleaned", "totals", "report"]
    linked = folder.run("materialize", "--json").data
    assert {one["state"] for one in linked["outcomes"]} == {"linked"}
    assert folder.run("sql", "select sum(total)::int as total from totals", "--json").data["rows"] == [[1000]]
    assert folder.stored() == stored


def test_earlier_states_are_read_by_every_name(folder: Folder) -> None:
    folder.run("materialize")
    folder.write("data/raw.csv", "shop,amount\nnorth,1000\n")
    folder.run("materialize")

    for name in ("totals@1", "totals@HEAD~1", "totals@run:1"):
        assert folder.run("preview", name, "--json").data["version"] == 1
    for at in ("1", "run:1"):
        found = folder.run("sql", "--at", at, "select sum(total)::int as total from totals", "--json").data
        assert found["rows"] == [[35]]
    early = folder.run("preview", "totals@2001-01-01")
    assert (early.code, "its first version here, v1" in early.err) == (2, True)
    assert folder.run("preview", "totals@9998-01-01", "--utc", "--json").data["version"] == 2
