"""Durable files: content is complete or absent, and every refusal of the system has its own error."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from assetflow.errors import AssetflowError, DiskFull, NotWritable, StorageFailed
from assetflow.files import BLOCK_BYTES, Files, block_digest, fresh_name, size_of, tree_files
from assetflow.io.hashing import bytes_hash, file_hash


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


@pytest.mark.parametrize("algorithm", ["xxh3", "sha256"])
@pytest.mark.parametrize(
    "sizes", [[], [0], [5], [65_536], [65_537, 3], [1 << 20], [(1 << 20) + 1], [700_000] * 5], ids=str
)
def test_what_passes_through_is_hashed_as_a_whole_and_in_blocks(
    tmp_path: Path, sizes: list[int], algorithm: str
) -> None:
    parts = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    whole = b"".join(parts)
    with Files(algorithm).writing(tmp_path / "a") as out:
        for part in parts:
            assert out.write(memoryview(part)) == len(part)
        assert out.tell() == len(whole)

    assert (tmp_path / "a").read_bytes() == whole
    assert out.hash == file_hash(tmp_path / "a", algorithm) == bytes_hash(whole, algorithm)
    assert out.size == len(whole)
    blocks = [whole[start : start + BLOCK_BYTES] for start in range(0, len(whole), BLOCK_BYTES)]
    assert out.block_digests() == b"".join(block_digest(block, algorithm) for block in blocks)


LARGE = 3 * 8 * 1024 * 1024 + 17
"""Bytes of a file of which a part is written by a thread of its own, and synced before its end."""


class Late(Files):
    """Files on which an operation fails once, long after the beginning of a file."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self._operation, self.synced, self._written = operation, 0, 0

    def write(self, handle: BinaryIO, data: bytes | memoryview) -> int:
        self._written += len(data)
        if self._operation == "write" and self._written > LARGE * 3 // 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(handle, data)

    def sync_file(self, handle: BinaryIO) -> None:
        self.synced += 1
        if self._operation == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_file(handle)


@pytest.mark.parametrize("piece", [1 << 20, 777_777, 5 << 20])
def test_a_large_file_holds_its_parts_in_order_and_is_synced_on_the_way(tmp_path: Path, piece: int) -> None:
    data = random.Random(3).randbytes(LARGE)
    files = Late("none")

    with files.writing(tmp_path / "a") as out:
        for start in range(0, LARGE, piece):
            part = bytearray(data[start : start + piece])
            with memoryview(part) as view:
                out.write(view)
            part[:] = bytes(len(part))  # whoever gives the part may use its memory again at once

    assert (tmp_path / "a").read_bytes() == data
    assert (out.size, out.hash) == (LARGE, bytes_hash(data))
    assert out.block_digests() == b"".join(
        block_digest(data[start : start + BLOCK_BYTES], "xxh3") for start in range(0, LARGE, BLOCK_BYTES)
    )
    assert files.synced == 2


@pytest.mark.parametrize(("operation", "error"), [("write", DiskFull), ("sync", StorageFailed)])
def test_what_fails_late_in_a_large_file_is_told_and_leaves_nothing(
    tmp_path: Path, operation: str, error: type[AssetflowError]
) -> None:
    def write() -> None:
        with Late(operation).writing(tmp_path / "a") as out:
            for _ in range(0, LARGE, 1 << 20):
                out.write(bytes(1 << 20))

    with pytest.raises(error):
        write()

    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_writer_of_a_large_file_ends_its_thread(tmp_path: Path) -> None:
    before = threading.active_count()

    def write() -> None:
        with Files().writing(tmp_path / "a") as out:
            out.write(bytes(LARGE))
            out.write(bytes(LARGE))
            raise KeyError

    with pytest.raises(KeyError):
        write()

    assert (threading.active_count(), list(tmp_path.iterdir())) == (before, [])


def test_the_hash_is_of_what_was_given_even_when_the_disk_holds_something_else(tmp_path: Path) -> None:
    class Lying(Files):
        def write(self, handle: BinaryIO, data: bytes | memoryview) -> int:
            return super().write(handle, bytes(data).replace(b"o", b"0"))

    assert Lying().write_bytes(tmp_path / "a", b"one") == bytes_hash(b"one") != file_hash(tmp_path / "a")


def test_an_unknown_algorithm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="md5"):
        Files("md5").write_bytes(tmp_path / "a", b"")


def test_stored_files_cannot_be_opened_for_writing_but_removed(tmp_path: Path) -> None:
    files = Files()
    files.make_directory(tmp_path / "d")
    files.write_bytes(tmp_path / "d" / "a", b"one")
    assert (tmp_path / "d" / "a").stat().st_mode & 0o222 == 0

    files.remove_tree(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_copying_tells_the_hash_of_every_new_file(tmp_path: Path) -> None:
    (tmp_path / "from" / "inner").mkdir(parents=True)
    (tmp_path / "from" / "one").write_bytes(b"one")
    (tmp_path / "from" / "inner" / "two").write_bytes(b"two")

    found = Files().copy_tree(tmp_path / "from", tmp_path / "to")

    assert found == {tmp_path / "to" / "one": bytes_hash(b"one"), tmp_path / "to" / "inner" / "two": bytes_hash(b"two")}


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


def test_two_may_remove_the_same_tree_at_once(tmp_path: Path) -> None:
    files = Files()
    failures: list[BaseException] = []
    for round_ in range(30):
        tree = tmp_path / str(round_)
        for number in range(20):
            (tree / f"d{number}").mkdir(parents=True)
            (tree / f"d{number}" / "file").write_bytes(b"")
        together = threading.Barrier(2)

        def remove(tree: Path = tree, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                files.remove_tree(tree)
            except AssetflowError as error:
                failures.append(error)

        threads = [threading.Thread(target=remove) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not tree.exists()
    assert failures == []


def test_removing_a_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept", target_is_directory=True)

    Files().remove_tree(tmp_path / "gone")

    assert (tmp_path / "kept" / "file").exists()


def test_a_second_name_is_the_same_file_and_takes_no_name_that_exists(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")

    assert Files().link(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").samefile(tmp_path / "one")
    with pytest.raises(StorageFailed, match="linking two failed"):
        Files().link(tmp_path / "one", tmp_path / "two")


def test_fresh_names_are_unlike_in_all_threads_and_processes() -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.extend([fresh_name() for _ in range(1_000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    code = "from assetflow.files import fresh_name\nfor _ in range(1000): print(fresh_name())"
    for _ in range(2):
        found += subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert len(set(found)) == len(found) == 6_000
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_goes_on_with_names_of_its_own() -> None:
    code = """
import os
from assetflow.files import fresh_name

fresh_name()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, fresh_name().encode())
    os._exit(0)
os.wait()
print(fresh_name() != os.read(read, 100).decode())
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "True"
