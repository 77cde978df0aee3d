from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings, strategies as st

from assetflow.catalog.backups import backup_path
from assetflow.errors import IllegalName
from assetflow.io.inspect import safe_place
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, parse_key, parse_label
from assetflow.run.locks import run_lock

# pyright: basic

ODD = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["..", ".", "/", "\\", "a", "%2e", "\0", "~", "con", "C:", "\u202e", " ", "é"])).map(
        "".join
    ),
)


def is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve()) and path.resolve() != root.resolve()


@settings(max_examples=300, derandomize=True, deadline=None)
@given(ODD)
@example("../../etc/passwd")
@example("a/../../b")
def test_a_name_that_is_accepted_stays_in_its_folder(text: str) -> None:
    root = Path("/store")
    try:
        key = parse_key(text)
    except IllegalName:
        pass
    else:
        assert is_inside(root.joinpath(*key.split(".")), root)
    try:
        env = parse_label(text, "environment")
    except IllegalName:
        return
    lock = run_lock(Settings(root, None, "shop", ()), env).path
    assert lock.parent == root / ".assetflow" / "locks"


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.one_of(ODD, st.text(min_size=100, max_size=300)))
@example("..")
@example(".")
@example("_")
@example("a/../../../b")
def test_any_partition_is_stored_in_one_folder_below_its_asset(partition: str) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        storage = Storage(root, warehouse=Path(folder) / "warehouse.duckdb")
        staged = storage.write(
            {"a": 1}, key=AssetKey("marts.orders"), partition=partition, io="json", io_is_explicit=True, declared=None,
            run_id=1,
        )  # fmt: skip
        version = storage.publish(staged)
        outside = [path for path in Path(folder).iterdir() if path != root]

        assert safe_place(root, version.location) is not None
        assert (root / version.location).parent.parent == root / "marts" / "orders"
        assert is_inside(root / version.location, root)
        assert outside == []


@settings(max_examples=300, derandomize=True, deadline=None)
@given(ODD)
@example("orders/_/../../../x-000000000000")
@example("/etc/passwd")
def test_a_place_that_leads_out_of_the_storage_is_no_place(location: str) -> None:
    root = Path("/store/data")
    found = safe_place(root, location)

    assert found is None or is_inside(found, root)


def test_two_partitions_never_share_a_folder(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "data", warehouse=tmp_path / "warehouse.duckdb")
    names = ["", "_", "a", "A", "%41", "a/b", "a_b", "a.b", "..", ".", "é", "e\u0301", "x" * 200, "x" * 201, "a ", " a"]
    places = set()
    for name in names:
        staged = storage.write(
            1, key=AssetKey("orders"), partition=name, io="json", io_is_explicit=True, declared=None, run_id=1
        )
        places.add(storage.publish(staged).location.split("/")[1])

    assert len(places) == len(names)


def test_backups_lie_beside_the_catalog() -> None:
    assert backup_path(Path("/s/catalog.db"), "20260305T13") == Path("/s/backups/catalog-20260305T13.db")
