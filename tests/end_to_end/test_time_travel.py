"""Earlier versions, rollback and pins through the command line, in processes of their own."""

from __future__ import annotations

import shutil

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


def test_the_whole_project_is_taken_back_though_it_has_a_source(folder: Folder) -> None:
    folder.run("materialize")
    folder.write("data/raw.csv", "shop,amount\nnorth,1000\n")
    folder.run("materialize")

    found = folder.run("rollback", "*", "--to", "run:1", "-y")
    assert (found.code, "raw" in found.out, "stays: is a source" in found.out) == (0, True, True)
    refused = folder.run("rollback", "raw", "-y")
    assert (refused.code, "raw is a source" in refused.err) == (2, True)
    [newest, *_] = folder.run("history", "totals", "--json").data["history"]
    assert (newest["kind"], newest["run"], "@" in newest["by"]) == ("rollback", None, True)
    assert newest["by"] in newest["reason"]


def test_when_all_is_pinned_a_run_says_so(folder: Folder) -> None:
    folder.run("materialize")
    folder.run("pin", "totals", "report")
    said = folder.run("materialize", "totals", "report").out

    assert "nothing to do · 0 current · 2 pinned: totals@1, report@1" in said
    assert "nothing selected" not in said


def test_nothing_is_served_where_the_pinned_bytes_are_gone(folder: Folder) -> None:
    folder.run("materialize")
    folder.run("pin", "totals")
    [place] = [path for path in (folder.path / ".assetflow" / "data").glob("totals/_/*") if path.is_dir()]
    shutil.move(place, folder.path.parent / "away")
    found = folder.run("materialize")

    assert (found.code, "assetflow unpin totals" in found.out + found.err) == (1, True)
    assert "v1 stays current" not in found.out
    doctor = folder.run("doctor")
    assert "materialize totals" not in doctor.out + doctor.err
    mended = folder.run("doctor", "--fix", "-y").out
    assert ("assetflow unpin totals" in mended, "materialize totals" in mended) == (True, False)


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
