"""The main job through the command line: materialize, change something, see what it means, undo it."""

from __future__ import annotations

import shutil
from typing import Any


def actions(folder: Any) -> dict[str, str]:
    return {item["asset"]: item["action"] for item in folder.run("plan", "--json").data["items"]}


def contents(folder: Any) -> list[str]:
    """The digests of all stored values. Sidecars say when they were made, and differ."""
    return sorted(digest for name, digest in folder.stored().items() if not name.endswith("_version.json"))


def outcomes(answer: Any) -> dict[str, str]:
    return {outcome["asset"]: outcome["state"] for outcome in answer.data["outcomes"]}


def test_first_run_builds_everything_and_the_second_has_nothing_to_do(folder: Any) -> None:
    first = folder.run("materialize")
    second = folder.run("materialize")

    assert (first.code, second.code) == (0, 0)
    assert "4 materialized" in first.out
    assert "all 4 current · nothing to do" in second.out
    assert (folder.states()) == {
        "raw": "source",
        "cleaned": "current",
        "totals": "current",
        "report": "current",
        "apart": "current",
    }


def test_an_edited_body_is_named_and_what_follows_is_maybe(folder: Any) -> None:
    folder.run("materialize")
    folder.replace("assets.py", "raw.dropna()", 'raw.dropna().sort_values("amount", ignore_index=True)')

    assert actions(folder) == {"cleaned": "run", "totals": "maybe", "report": "maybe", "apart": "current"}

    # The order of the rows changed, so cleaned is new; its totals are the same, so nothing after them runs.
    answer = folder.run("materialize", "--json")
    assert outcomes(answer) == {"cleaned": "materialized", "totals": "unchanged", "report": "cut_off"}
    assert folder.run("materialize", "--json").data["run"] is None


def test_a_comment_or_a_docstring_changes_nothing(folder: Any) -> None:
    folder.run("materialize")
    folder.replace(
        "assets.py", "    return raw.dropna()", '    """Drops."""\n    # complete rows only\n    return raw.dropna()'
    )

    assert {"current"} == set(actions(folder).values())


def test_an_undone_edit_links_the_earlier_results_without_computing(folder: Any) -> None:
    folder.run("materialize")
    folder.replace("assets.py", "raw.dropna()", "raw.dropna().assign(amount=1)")
    folder.run("materialize")
    folder.replace("assets.py", "raw.dropna().assign(amount=1)", "raw.dropna()")

    assert actions(folder) == {"cleaned": "link", "totals": "link", "report": "link", "apart": "current"}
    assert outcomes(folder.run("materialize", "--json")) == {
        "cleaned": "linked",
        "totals": "linked",
        "report": "linked",
    }
    assert "north" in folder.run("preview", "totals", "--json").out


def test_one_changed_source_row_runs_what_follows(folder: Any) -> None:
    folder.run("materialize")
    folder.replace("data/raw.csv", "south,20", "south,21")

    assert actions(folder) == {"cleaned": "run", "totals": "maybe", "report": "maybe", "apart": "current"}
    assert outcomes(folder.run("materialize", "--json")) == {
        "cleaned": "materialized",
        "totals": "materialized",
        "report": "materialized",
    }
    assert "south\t21" in folder.run("preview", "totals").out


def test_without_the_state_folder_everything_is_missing_and_comes_back(folder: Any) -> None:
    folder.run("materialize")
    before = contents(folder)
    shutil.rmtree(folder.path / ".assetflow")

    assert {"missing", "source"} == set(folder.states().values())
    assert folder.run("materialize").code == 0
    assert before == contents(folder)


def test_deleted_bytes_are_seen_and_made_again(folder: Any) -> None:
    folder.run("materialize")
    shutil.rmtree(folder.path / ".assetflow" / "data" / "totals")

    plan = folder.run("plan", "--json").data
    assert [
        (item["asset"], [reason["code"] for reason in item["reasons"]])
        for item in plan["items"]
        if item["action"] == "run"
    ] == [("totals", ["data_missing"])]
    assert folder.run("materialize").code == 0
    assert "south" in folder.run("preview", "totals").out


def test_earlier_versions_stay_readable(folder: Any) -> None:
    folder.run("materialize")
    folder.replace("data/raw.csv", "south,20", "south,21")
    folder.run("materialize")

    assert "20" in folder.run("sql", "select * from \"totals@1\" where shop = 'south'").out
    assert "21" in folder.run("sql", "select * from totals where shop = 'south'").out
    assert [entry["version"] for entry in folder.run("history", "totals", "--json").data["history"]] == [2, 1]


def test_only_builds_the_selection_on_the_inputs_as_they_are(folder: Any) -> None:
    folder.run("materialize")
    folder.replace("assets.py", "raw.dropna()", "raw.dropna().assign(amount=1)")
    folder.replace("assets.py", "float(totals", "1 + float(totals")

    answer = folder.run("materialize", "report", "--only", "--json")

    assert outcomes(answer) == {"report": "materialized"}
    assert {"cleaned": "stale", "totals": "maybe", "report": "maybe"}.items() <= folder.states().items()
