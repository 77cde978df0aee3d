"""A folder's files in memory, and the operations that change them, in the terms of a file system.

Files and folders have numbers (inodes), so that a name can be lost or moved apart from what it names. Files in which
SQLite shares memory (`-shm`) are left out: nothing in them is meant to outlive a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ROOT = 0
"""The number of the folder itself."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes put into a file at an offset, which may lie behind its end."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A file cut or extended with zeros."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Link:
    """A name for a file or folder, new or not."""

    folder: int
    name: str
    inode: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name taken away."""

    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    """A name moved, over what had the new name before."""

    folder: int
    name: str
    new_folder: int
    new_name: str
    inode: int


EVERYTHING = -2


@dataclass(frozen=True, slots=True)
class Sync:
    """What was done to a file's content or a folder's names before operation number `since` is on the disk now.

    `EVERYTHING` is every file and folder.
    """

    inode: int
    since: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The process told its user this."""

    text: str


Operation = Write | Resize | Link | Unlink | Rename | Sync | Acknowledged


@dataclass(slots=True)
class Disk:
    """The files and folders below one folder, by number; `folders[ROOT]` is that folder."""

    files: dict[int, bytes] = field(default_factory=dict[int, bytes])
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """What is in the folder now."""
        disk = cls()
        numbers = {folder: ROOT}
        for number, path in enumerate(sorted(folder.rglob("*")), start=1):
            if is_ignored(path.name):
                continue
            disk.folders[numbers[path.parent]][path.name] = numbers[path] = number
            if path.is_dir() and not path.is_symlink():
                disk.folders[number] = {}
            else:
                disk.files[number] = path.read_bytes()
        return disk

    def copy(self) -> Disk:
        """Another one with the same content."""
        return Disk(dict(self.files), {number: dict(names) for number, names in self.folders.items()})

    def find(self, path: str) -> int | None:
        """The number of what has this path, which is relative to the folder; None when nothing has."""
        number = ROOT
        for name in [name for name in path.split("/") if name]:
            names = self.folders.get(number)
            if names is None or name not in names:
                return None
            number = names[name]
        return number

    def apply(self, operation: Operation) -> None:
        """Do to this disk what was done."""
        match operation:
            case Write(inode, offset, data):
                self.files[inode] = overwritten(self.files[inode], offset, data)
            case Resize(inode, size):
                self.files[inode] = resized(self.files[inode], size)
            case Link(folder, name, inode, is_folder):
                self.folders[folder][name] = inode
                if is_folder:
                    self.folders.setdefault(inode, {})
                else:
                    self.files.setdefault(inode, b"")
            case Unlink(folder, name):
                del self.folders[folder][name]
            case Rename(folder, name, new_folder, new_name, inode):
                del self.folders[folder][name]
                self.folders[new_folder][new_name] = inode
            case Sync() | Acknowledged():
                pass

    def listing(self) -> tuple[dict[str, bytes], set[str]]:
        """The content of every file and the names of all folders, by path relative to the folder."""
        files: dict[str, bytes] = {}
        folders: set[str] = set()
        waiting = [("", ROOT)]
        while waiting:
            above, number = waiting.pop()
            for name, inode in self.folders[number].items():
                if inode in self.folders:
                    folders.add(above + name)
                    waiting.append((f"{above}{name}/", inode))
                else:
                    files[above + name] = self.files[inode]
        return files, folders


@dataclass(frozen=True, slots=True)
class Trace:
    """A folder as it was, what was done to it, and what the process said meanwhile."""

    initial: Disk
    operations: tuple[Operation, ...]


def is_ignored(name: str) -> bool:
    """Whether a file of this name is never meant to outlive a crash."""
    return name.endswith("-shm")


def overwritten(content: bytes, offset: int, data: bytes) -> bytes:
    """The content with `data` at the offset, zeros in between if it lay behind the end."""
    if offset > len(content):
        content += bytes(offset - len(content))
    return content[:offset] + data + content[offset + len(data) :]


def resized(content: bytes, size: int) -> bytes:
    """The content cut, or extended with zeros."""
    return content[:size] + bytes(max(0, size - len(content)))
