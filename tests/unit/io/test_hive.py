"""Names and files of the folders that show partitions to other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from assetflow import Cron, Daily, Dynamic, Hourly, Monthly, Multi, Static, Weekly
from assetflow.files import Files
from assetflow.io.hive import PartitionFolders, folder_of, names_for


class NoLinks(Files):
    """A file system on which a file has one name."""

    def link(self, source: Path, target: Path) -> bool:
        return False


class FullDisk(NoLinks):
    """It has no room for a copy either."""

    def replace(self, source: Path, target: Path) -> None:
        raise OSError(28, "no space left", str(target))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "data.parquet").write_text(name)
    return tmp_path


def shown(root: Path, asset: str = "orders") -> dict[str, str]:
    base = root / "views" / "dev" / asset
    return {str(one.relative_to(base)): one.read_text() for one in base.rglob("*") if one.is_file()}


def test_an_axis_gives_the_folders_its_name_and_a_time_its_kind() -> None:
    kinds = [Hourly("2026-01-01"), Daily("2026-01-01"), Weekly("2026-W01"), Monthly("2026-01")]

    assert [names_for(one, ()) for one in kinds] == [["hour"], ["day"], ["week"], ["month"]]
    for other in (Static(["eu"]), Dynamic("customers"), Cron("0 6 * * *", start="2026-01-01")):
        assert names_for(other, ()) == ["partition"]
    assert names_for(Multi({"port": Static(["JFK"]), "at": Daily("2026-01-01")}), ()) == ["port", "at"]


def test_a_column_of_the_table_keeps_its_name() -> None:
    days, both = Daily("2026-01-01"), Multi({"day": Daily("2026-01-01"), "day_key": Static(["a"])})

    assert names_for(days, ["DAY", "day_key"]) == ["day_key_key"]
    assert names_for(both, ["day"]) == ["day_key", "day_key_key"]


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("2026-01-05T13+0100", "k=2026-01-05T13+0100"),
        ("a/b\\c:d=e f%", "k=a%2Fb%5Cc%3Ad%3De%20f%25"),
        ("../x[1]{?}", "k=../x[1]{?}".replace("/", "%2F").replace("[1]{?}", "%5B1%5D%7B%3F%7D")),
        ("Zürich", "k=Zürich"),
        ("end.", "k=end%2E"),
        ("x" * 254, None),
    ],
)
def test_what_may_not_stand_in_a_path_is_escaped(key: str, folder: str | None) -> None:
    assert folder_of(["k"], key) == folder


def test_a_place_changes_in_one_step_and_only_when_it_is_another_version(root: Path) -> None:
    folders = PartitionFolders(root / "views", root / "data", "dev")
    names = ["day"]
    one, two = folders.place(names, "1", "one"), folders.place(names, "1", "two")
    assert one is not None
    assert two is not None
    with folders.exclusive():
        assert folders.show("orders", [one]) == 1
        assert folders.show("orders", [one]) == 0
        assert folders.show("orders", [two]) == 1
        folders.write_note({})

    assert shown(root) == {"day=1/data.parquet": "two"}
    assert (root / "views/dev/orders/day=1/data.parquet").samefile(root / "data/two/data.parquet")
    assert (root / "data/one/data.parquet").read_text() == "one"
    assert sorted(one.name for one in (root / "views").iterdir()) == ["dev", "dev.folders.lock"]


def test_where_files_have_one_name_the_folders_have_copies(root: Path) -> None:
    folders = PartitionFolders(root / "views", root / "data", "dev", NoLinks())
    places = [place for key in "12" if (place := folders.place(["day"], key, "one")) is not None]
    with folders.exclusive():
        folders.show("orders", places)
    assert folders.differing("orders", places) == ([], [])
    assert folders.show("orders", places) == 0

    assert shown(root) == {"day=1/data.parquet": "one", "day=2/data.parquet": "one"}
    assert not (root / "views/dev/orders/day=1/data.parquet").samefile(root / "data/one/data.parquet")


def test_a_full_disk_leaves_what_was_shown_and_nothing_else(root: Path) -> None:
    place = PartitionFolders(root / "views", root / "data", "dev").place(["day"], "1", "one")
    other = PartitionFolders(root / "views", root / "data", "dev").place(["day"], "1", "two")
    assert place is not None
    assert other is not None
    PartitionFolders(root / "views", root / "data", "dev").show("orders", [place])
    with pytest.raises(OSError, match="no space"):
        PartitionFolders(root / "views", root / "data", "dev", FullDisk()).show("orders", [other])

    assert shown(root) == {"day=1/data.parquet": "one"}
    assert [one.name for one in (root / "views").iterdir()] == ["dev"]


def test_a_version_without_its_file_is_not_shown_and_empty_folders_go(root: Path) -> None:
    folders = PartitionFolders(root / "views", root / "data", "dev")
    names = ["port", "day"]
    both = [place for key in ("JFK|1", "LAX|1") if (place := folders.place(names, key, "one")) is not None]
    folders.show("orders", both)
    gone = folders.place(names, "JFK|1", "lost")
    assert gone is not None
    assert folders.show("orders", [gone]) == 1
    assert [one.name for one in (root / "views/dev/orders").iterdir()] == ["port=LAX"]

    assert folders.hide("orders", folders.named(names, ["LAX|1", "SFO|1"])) == 1
    assert not (root / "views/dev/orders").exists()
