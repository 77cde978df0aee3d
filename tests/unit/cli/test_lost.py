"""What is said when the catalog, its journal, the storage folder or a version is gone, and what helps."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

# pyright: basic


def lose(project: Path, *names: str) -> None:
    for name in names:
        place = project / ".assetflow" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def catalog_says(project: Path, statement: str) -> None:
    with closing(sqlite3.connect(project / ".assetflow" / "catalog.db")) as connection, connection:
        connection.execute(statement)


def change(project: Path) -> None:
    """Make the next run make everything anew."""
    text = (project / "numbers.csv").read_text()
    (project / "numbers.csv").write_text(text + "7\n")
    os.utime(project / "numbers.csv", (1_000_000_000 + len(text), 1_000_000_000 + len(text)))


# ------------------------------------------------------------------------------------------------- the catalog


def test_versions_without_any_catalog_are_named_by_doctor_and_status(project: Path, cli) -> None:
    lose(project, "catalog.db", "journal", "backups")

    looked, status = cli("doctor"), cli("status")

    assert looked.code == 6
    assert "2 versions lie in data/ that the catalog does not know" in looked.out
    assert "assetflow doctor --rebuild-catalog" in looked.err
    assert "2 versions in data/ unknown to the catalog: assetflow doctor --rebuild-catalog" in status.err + status.out
    assert cli("doctor", "--rebuild-catalog", "-y").code == 0
    assert cli("doctor").code == 0
    assert "unknown" not in (again := cli("status")).err + again.out


def test_a_project_that_has_not_begun_has_nothing_unknown(project: Path, cli) -> None:
    shutil.rmtree(project / ".assetflow")

    assert cli("doctor").code == 0
    assert "unknown" not in (status := cli("status")).out + status.err


def test_without_a_journal_doctor_advises_the_backup(project: Path, cli) -> None:
    lose(project, "catalog.db", "journal")

    assert cli("doctor", "--json").document["error"]["fix"] == "assetflow doctor --rebuild-catalog --from-backup"
    asked = cli("doctor", "--rebuild-catalog", "--no-input")
    assert asked.code == 2
    assert "there is a backup of the catalog from " in asked.err
    assert "--from-backup keeps the numbers of versions, what is current, and the history of runs" in asked.err
    assert "warning" not in cli("doctor", "--rebuild-catalog", "--from-backup", "-y").err


def test_fixing_a_lost_journal_says_so(project: Path, cli) -> None:
    lose(project, "journal")

    looked, fixed = cli("doctor"), cli("doctor", "--fix", "-y")

    assert (looked.code, fixed.code) == (6, 0)
    assert "writes the journal anew" in looked.out
    assert "the journal was written anew" in fixed.out
    assert "nothing to mend" not in fixed.out
    assert cli("doctor").code == 0


def test_runs_of_which_the_number_is_known_have_no_counts(project: Path, cli) -> None:
    lose(project, "catalog.db", "backups")
    cli("doctor", "--rebuild-catalog", "-y")

    [row] = cli("runs", "--format", "csv").out.splitlines()[1:]
    names = cli("runs", "--format", "csv").out.splitlines()[0].split(",")
    said = dict(zip(names, row.split(","), strict=True))

    assert (said["run"], said["state"]) == ("1", "lost")
    assert {said[name] for name in ("started_at", "seconds", "made", "same", "failed", "by", "selection")} == {""}
    [document] = cli("runs", "--json").document["data"]["runs"]
    assert (document["started_at"], document["finished_at"]) == (None, None)
    shown = cli("runs", "show", "1").out
    assert ":" not in shown
    assert "only its number is known" in shown
    assert "materialize" not in shown


def test_a_run_that_died_shows_what_it_had_committed(project: Path, cli) -> None:
    catalog_says(project, "UPDATE run SET state = 'running', counts = '{}', finished_at = NULL")
    catalog_says(project, "UPDATE attempt SET state = 'running' WHERE asset_id = (SELECT max(asset_id) FROM attempt)")

    [run] = cli("runs", "--json").document["data"]["runs"]

    assert run["state"] == "died"
    assert run["counts"]["materialized"] == 1
    assert cli("runs", "show", "1", "--json").document["data"]["counts"] == run["counts"]


# ------------------------------------------------------------------------------------------------- what is stored


def test_a_deleted_storage_folder_is_said_with_both_ways(project: Path, cli) -> None:
    lose(project, "data")

    for arguments in (("plan",), ("materialize",), ("doctor",)):
        said = cli(*arguments)
        assert said.code != 0
        assert "is its disk mounted?" in said.out + said.err
        assert "mount its disk, or `mkdir .assetflow/data` to have everything made again" in said.out + said.err
    (project / ".assetflow" / "data").mkdir()
    assert cli("materialize").code == 0


@pytest.mark.parametrize(
    ("state", "word"), [("evicted", "removed by gc"), ("lost", "lost"), ("damaged", "damaged"), ("live", "")]
)
def test_history_marks_versions_whose_bytes_are_gone(project: Path, cli, state: str, word: str) -> None:
    change(project)
    cli("materialize")
    catalog_says(project, f"UPDATE version SET state = '{state}' WHERE number = 1")

    shown = cli("history", "doubled", "--format", "table").out
    entries = cli("history", "doubled", "--json").document["data"]["history"]

    assert [(one["version"], one["state"]) for one in entries] == [(2, "live"), (1, state)]
    assert word in shown


@pytest.mark.parametrize("state", ["evicted", "lost", "damaged"])
def test_who_asks_for_a_version_that_is_gone_is_told_what_can_be_read(project: Path, cli, state: str) -> None:
    for _ in range(2):
        change(project)
        cli("materialize")
    with closing(sqlite3.connect(project / ".assetflow" / "catalog.db")) as connection:
        [[location]] = connection.execute(
            "SELECT location FROM version JOIN asset USING (asset_id) WHERE key = 'doubled' AND number = 2"
        ).fetchall()
    shutil.rmtree(project / ".assetflow" / "data" / location)
    catalog_says(project, f"UPDATE version SET state = '{state}' WHERE location = '{location}'")

    for arguments in (("diff", "doubled"), ("preview", "doubled@HEAD~1"), ("preview", "doubled@2")):
        said = cli(*arguments)
        assert said.code != 0
        assert "the newest that can be read: doubled@3, doubled@1" in said.err


# ------------------------------------------------------------------------------------------------- small things


def test_gc_refuses_a_wait_that_is_none_even_with_nothing_to_do(project: Path, cli) -> None:
    for verb in (("gc",), ("gc", "--dry-run"), ("doctor",)):
        said = cli(*verb, "--wait", "abc")
        assert said.code == 2
        assert "`abc` is not a duration" in said.err


def test_gc_does_not_ask_to_compact_what_is_not_there(project: Path, cli) -> None:
    said = cli("gc", "--compact", "--no-input")

    assert said.code == 0
    assert "there is no DuckDB file to compact" in said.out


def test_a_version_of_a_misspelled_asset_has_its_nearest_name(project: Path, cli) -> None:
    said = cli("sql", 'select * from "double@1"')

    assert said.code == 2
    assert "did you mean `doubled@1`?" in said.err


def test_a_difference_that_came_from_an_input_names_the_next_command(project: Path, cli) -> None:
    change(project)
    cli("materialize")

    assert "assetflow diff doubled@1 doubled@2" in cli("diff", "total").out
    assert "assetflow diff numbers" not in cli("diff", "doubled").out
