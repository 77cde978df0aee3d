"""The judge itself: small, independent of what it judges, and not blind."""

from __future__ import annotations

import ast
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.apart import apart
from tests.faults.driver import copy_of_beginning, read_acks

pytestmark = pytest.mark.fault
CHECKER = Path(checker.__file__)
ALLOWED = {
    "__future__",
    "base64",
    "collections",
    "contextlib",
    "functools",
    "hashlib",
    "json",
    "pathlib",
    "sqlite3",
    "typing",
}


def test_the_checker_is_at_most_300_lines() -> None:
    assert len(CHECKER.read_text().splitlines()) <= 300


def test_the_checker_imports_nothing_of_assetflow() -> None:
    tree = ast.parse(CHECKER.read_text())
    found = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    found |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert found - {"pyarrow", "xxhash"} <= ALLOWED


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    apart(copy_of_beginning, "no-op", folder)
    return folder


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    """A sound store with two versions of everything."""
    shutil.copytree(template / "store", tmp_path / "store")
    shutil.copy(template / "acks", tmp_path / "acks")
    return tmp_path / "store"


def _judged(store: Path, before: checker.Snapshot | None = None) -> str:
    problems = checker.check(store, read_acks(store.parent / "acks"), before=before, is_clean=True, generation=2)
    return " ".join(problems)


def _change(store: Path, statement: str) -> None:
    catalog = sqlite3.connect(store / "catalog.db")
    catalog.execute(statement)
    catalog.commit()
    catalog.close()


def _file(store: Path, asset: str, name: str) -> Path:
    path = min((store / "data" / asset).glob(f"*/*/{name}"))
    path.chmod(0o644)
    return path


def test_a_sound_store_has_no_problems(store: Path) -> None:
    assert _judged(store, checker.snapshot(store)) == ""


def test_a_store_that_was_killed_while_it_was_made_is_legal(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()

    assert checker.check(tmp_path) == []
    assert checker.check(tmp_path, [{"verb": "materialize", "versions": {"plain": 1}}])[0].startswith("P1")


@pytest.mark.parametrize(
    ("statement", "promise"),
    [
        ("DELETE FROM head WHERE asset_id = 2", "P4"),
        ("UPDATE head_log SET seq = 1000 WHERE seq = 3", "P4"),
        ("UPDATE head SET trace_id = 1 WHERE asset_id = 3", "P4"),
        ("UPDATE version SET number = 7 WHERE number = 2 AND asset_id = 2", "P4"),
        ("UPDATE version SET state = 'lost' WHERE version_id = 2", "P1"),
        ("UPDATE version SET state = 'evicted' WHERE number = 2", "P4"),
        ("UPDATE version SET data_hash = 'other' WHERE version_id = 2", "P2"),
        ("UPDATE version SET row_count = 3 WHERE version_id = 2", "P2"),
        ("UPDATE trace_in SET number = 1 WHERE trace_id > 9", "P2"),
        ("UPDATE run SET state = 'running'", "P7"),
        ("UPDATE counter SET value = value + 2 WHERE name = 'journal'", "P13"),
    ],
)
def test_every_lie_of_the_catalog_is_seen(store: Path, statement: str, promise: str) -> None:
    _change(store, statement)

    assert promise in _judged(store)


@pytest.mark.parametrize(
    ("asset", "name"),
    [("plain", "data.parquet"), ("facts", "value.json"), ("blob", "value.bin"), ("left", "_version.json")],
)
def test_a_changed_file_is_seen(store: Path, asset: str, name: str) -> None:
    before = checker.snapshot(store)
    path = _file(store, asset, name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    found = _judged(store, before)
    assert "P2" in found
    assert "P3" in found


def test_a_lost_file_and_a_lost_version_are_seen(store: Path) -> None:
    _file(store, "facts", "value.json").unlink()
    shutil.rmtree(min((store / "data" / "left").glob("*/*")))

    found = _judged(store)
    assert "facts" in found
    assert "left" in found


def test_what_is_half_published_is_seen(store: Path) -> None:
    source = min((store / "data" / "right").glob("*/*"))
    target = source.with_name("0123456789abcdef-aaaaaaaaaaaa")
    target.mkdir()
    shutil.copy(source / "_version.json", target)

    assert "P13" in _judged(store)


def test_what_a_dead_run_left_is_seen(store: Path) -> None:
    (store / "data" / "tmp" / "9-abc").mkdir(parents=True)

    assert "P7" in _judged(store)


def test_a_journal_that_lost_a_line_is_seen(store: Path) -> None:
    path = store / "journal" / "000001.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:4] + lines[5:]))

    assert "P13" in _judged(store)
