"""Durable files: content is complete or absent, and every refusal of the system has its own error."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from assetflow.errors import AssetflowError, DiskFull, NotWritable, StorageFailed
from assetflow.files import Files, size_of, tree_files


class Refusing(Files):
    """Files on which one operation fails with one error of the system."""

    def __init__(self, operation: str, number: int) -> None:
        self._operation, self._number = operation, number

    def _refuse(self, operation: str) -> None:
        if operation == self._operation:
            raise OSError(self._number, os.strerror(self._number))

    def write(self, handle: BinaryIO, data: bytes | memoryview) -> int:
        super().write(handle, bytes(data)[:1])
        self._refuse("write")
        return len(data)

    def sync_file(self, handle: BinaryIO) -> None:
        self._refuse("sync")
        super().sync_file(handle)


def test_written_bytes_are_there_and_no_file_is_overwritten(tmp_path: Path) -> None:
    files = Files()
    files.write_bytes(tmp_path / "a", b"one")

    with pytest.raises(StorageFailed):
        files.write_bytes(tmp_path / "a", b"two")

    assert (tmp_path / "a").read_bytes() == b"one"


@pytest.mark.parametrize("operation", ["write", "sync"])
@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, NotWritable),
        (errno.EPERM, NotWritable),
        (errno.EROFS, NotWritable),
        (errno.EIO, StorageFailed),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else value.__name__,
)
def test_a_refused_write_leaves_nothing_and_says_why(
    tmp_path: Path, operation: str, number: int, error: type[AssetflowError]
) -> None:
    with pytest.raises(error, match="data") as caught:
        Refusing(operation, number).write_bytes(tmp_path / "data", b"some bytes")

    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_full_disk_is_told_with_the_free_space_and_that_nothing_was_lost(tmp_path: Path) -> None:
    with pytest.raises(DiskFull) as caught:
        Refusing("write", errno.ENOSPC).write_bytes(tmp_path / "data", b"some bytes")

    assert "bytes" in str(caught.value.facts)
    assert "the previous version is untouched" in caught.value.facts
    assert caught.value.fix


def test_an_error_of_the_writer_leaves_no_file(tmp_path: Path) -> None:
    def write_half() -> None:
        with Files().writing(tmp_path / "a") as out:
            out.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()

    assert list(tmp_path.iterdir()) == []


def test_renaming_never_replaces_what_is_there(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    with pytest.raises(StorageFailed):
        Files().rename(tmp_path / "one", tmp_path / "two")

    assert (tmp_path / "two" / "file").read_text() == "two"
    assert (tmp_path / "one" / "file").read_text() == "one"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(NotWritable):
            Files().write_bytes(tmp_path / "a", b"")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_a_folder_should_be_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")

    with pytest.raises(StorageFailed):
        Files().make_directory(tmp_path / "a" / "b")


def test_a_copied_tree_has_all_files_and_a_removed_one_none(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep" / "deeper").mkdir(parents=True)
    (source / "deep" / "x").write_bytes(b"12")
    (source / "y").write_bytes(b"345")
    (source / "link").symlink_to(source / "y")

    Files().copy_tree(source, target)

    assert [file.name for file in tree_files(target)] == ["x", "link", "y"]
    assert size_of(target) == 8
    assert not (target / "link").is_symlink()
    assert (target / "deep" / "deeper").is_dir()

    Files().remove_tree(target)
    Files().remove_tree(target)
    assert not target.exists()


def test_removing_a_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept", target_is_directory=True)

    Files().remove_tree(tmp_path / "gone")

    assert (tmp_path / "kept" / "file").exists()
