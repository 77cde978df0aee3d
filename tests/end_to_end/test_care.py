"""`gc` and `doctor` through the real command line, and processes that really die in the middle of them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Answer, Folder

# pyright: basic

pytestmark = pytest.mark.end_to_end

LITTLE = ("--keep", "1", "--keep-days", "0", "--grace", "0")

KILLED = """
import os, signal, sys
from assetflow.catalog import database
from assetflow.files import Files

left = int(sys.argv[1])

def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for name in ("remove_tree", "rename", "append_line", "sync_directory"):
    setattr(Files, name, counted(getattr(Files, name)))

from assetflow.cli.main import run
sys.argv[1:] = sys.argv[2:]
run()
"""


LARGE = """
import pyarrow as pa
from assetflow import asset

ROUND = 0

@asset(io="duckdb")
def large() -> pa.Table:
    return pa.table({"n": [(one * 2654435761 + ROUND) % 2**61 for one in range(300_000)]})
"""


def several_versions(folder: Folder, amount: int = 3) -> None:
    for number in range(amount):
        folder.write("data/raw.csv", f"shop,amount\nnorth,{number}\nsouth,20\n")
        assert folder.run("materialize").code == 0


def killed(folder: Folder, at: int, *arguments: str) -> int:
    """Run a command that is killed at its n-th operation on the store; the exit code (negative: the signal)."""
    command = [sys.executable, "-c", KILLED, str(at), "-C", str(folder.path), *arguments]
    return folder.warm.run(command, env=folder.environment({}), timeout=60).returncode


def standing(listed: Answer) -> list[tuple[str, str, int]]:
    return [(row["asset"], row["state"], row["version"]) for row in listed.data["assets"]]


def versions_on_disk(folder: Folder) -> int:
    return sum(name.endswith("_version.json") for name in folder.stored())


def test_gc_asks_before_it_deletes_and_says_what_it_deleted(folder: Folder) -> None:
    several_versions(folder)

    foreseen = folder.run("gc", *LITTLE, "--dry-run")
    refused = folder.run("gc", *LITTLE)
    done = folder.run("gc", *LITTLE, "-y")

    assert "would delete 6 versions of 3 assets" in foreseen.out
    assert (refused.code, "add -y" in refused.err) == (2, True)
    assert "deleted 6 versions of 3 assets" in done.out
    assert versions_on_disk(folder) == 4
    assert set(folder.states().values()) == {"current", "source"}


def test_gc_killed_anywhere_leaves_what_is_current_and_the_next_one_finishes(folder: Folder, tmp_path: Path) -> None:
    several_versions(folder)
    answer = folder.run("preview", "totals", "--json").data["rows"]
    ends: list[int] = []
    for at in range(1, 60, 4):
        copy = folder.beside(tmp_path / f"copy-{at}")
        shutil.copytree(folder.path, copy.path)
        ends.append(killed(copy, at, "gc", *LITTLE, "-y"))
        assert copy.run("preview", "totals", "--json").data["rows"] == answer
        copy.run("gc", *LITTLE, "-y")
        assert versions_on_disk(copy) == 4
        assert copy.run("doctor", "--deep", "-j", "2").code == 0
        shutil.rmtree(copy.path)
        if ends[-1] == 0:
            break

    assert ends[0] == -9
    assert ends[-1] == 0


def test_a_rebuild_killed_anywhere_can_be_called_again(folder: Folder, tmp_path: Path) -> None:
    several_versions(folder, 2)
    before = standing(folder.run("ls", "--json"))
    ends: list[int] = []
    for at in range(1, 60, 2):
        copy = folder.beside(tmp_path / f"copy-{at}")
        shutil.copytree(folder.path, copy.path)
        ends.append(killed(copy, at, "doctor", "--rebuild-catalog", "-y"))
        looked = copy.run("ls", "--json")
        # It is what it was, or said to be damaged; never taken for one that has yet to begin.
        assert looked.code == 6 or standing(looked) == before
        assert copy.run("doctor", "--rebuild-catalog", "-y").code == 0
        assert standing(copy.run("ls", "--json")) == before
        shutil.rmtree(copy.path)
        if ends[-1] == 0:
            break

    assert ends[0] == -9
    assert ends[-1] == 0


def test_doctor_needs_neither_the_code_of_the_project_nor_its_catalog(folder: Folder) -> None:
    several_versions(folder, 1)
    folder.write("assets.py", "this is not python")
    assert folder.run("doctor").code == 0
    (folder.path / ".assetflow" / "catalog.db").write_bytes(b"\0" * 5000)

    looked = folder.run("doctor", "--json")
    made = folder.run("doctor", "--rebuild-catalog", "-y", "--json")

    assert looked.code == 6
    assert json.loads(looked.out)["error"]["fix"] == "assetflow doctor --rebuild-catalog"
    assert (made.code, made.data["heads"]) == (0, 5)
    assert folder.run("doctor", "--deep").code == 0


def test_damage_is_found_put_aside_and_made_again(folder: Folder) -> None:
    several_versions(folder, 1)
    [name] = [name for name in folder.stored() if name.startswith("cleaned/") and name.endswith(".parquet")]
    file = folder.path / ".assetflow" / "data" / name
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"?")

    assert folder.run("doctor").code == 0  # a quick look reads no bytes
    found = folder.run("doctor", "--deep")
    mended = folder.run("doctor", "--deep", "--fix", "-y")

    assert (found.code, "cleaned@1" in found.out) == (6, True)
    assert (mended.code, "assetflow materialize cleaned" in mended.out) == (0, True)
    assert folder.run("materialize").code == 0
    assert folder.run("doctor", "--deep").code == 0
    assert set(folder.states().values()) == {"current", "source"}


def test_compact_gives_the_room_of_deleted_tables_back(folder: Folder) -> None:
    folder.write("assetflow.toml", 'modules = ["assets"]\nduckdb = "native"\n')
    folder.write("assets.py", LARGE)
    for number in range(3):
        folder.replace("assets.py", f"ROUND = {number}", f"ROUND = {number + 1}")
        assert folder.run("materialize").code == 0
    warehouse = folder.path / ".assetflow" / "warehouse.duckdb"
    before = warehouse.stat().st_size

    done = folder.run("gc", *LITTLE, "--compact", "--yes", "--json")

    assert done.data["versions"] == 2
    assert 0 < done.data["compacted_bytes"] <= before - warehouse.stat().st_size
    assert warehouse.stat().st_size < before / 2
    assert folder.run("sql", "select count(*) as n from large", "--json").code == 0
    assert "nothing to delete" in folder.run("gc", *LITTLE, "--compact", "--yes").out


def test_gc_works_though_the_code_does_not_load_and_says_what_it_left(folder: Folder) -> None:
    several_versions(folder)
    folder.write("assets.py", "import nothing_of_that_name\n")

    done = folder.run("gc", *LITTLE, "--yes")

    assert done.code == 0
    assert "deleted 6 versions" in done.out
    assert "the views for DuckDB programs are as they were" in done.err
