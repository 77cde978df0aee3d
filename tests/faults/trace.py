"""What a process did to the files below a folder, as recorded by strace, in the order in which it happened.

The record is complete or refused: replaying it on what the folder held before must give, byte for byte, what the folder
holds after.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.disk import (
    EVERYTHING,
    Acknowledged,
    Disk,
    Link,
    Operation,
    Rename,
    Resize,
    Sync,
    Trace,
    Unlink,
    Write,
    is_ignored,
)

CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,syncfs,sync_file_range,rename,renameat,renameat2,"
    "link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,truncate,fallocate,close,dup,dup2,dup3,"
    "lseek,copy_file_range,sendfile,mmap,clone,clone3,fork,vfork"
)
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|0x[0-9a-f]+|\?)(.*)", re.DOTALL)
_LINE = re.compile(r"(\d+) +(.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_DESCRIPTOR = re.compile(r"(-?\d+|AT_FDCWD)(?:<([^>]*)>)?")
_BASE = re.compile(r'iov_base="([^"]*)"')


class TraceError(Exception):
    """The record cannot be understood, or is not the whole story."""


def why_no_strace() -> str | None:
    """Why processes cannot be traced here, or None when they can."""
    if shutil.which("strace") is None:
        return "strace is not installed (Debian, Ubuntu: apt-get install strace)"
    tried = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, "-e", "trace=openat", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode == 0:
        return None
    return f"strace cannot trace processes here: {(tried.stderr.strip().splitlines() or ['no reason given'])[-1]}"


def record(
    folder: Path, command: Sequence[str], *, said: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Trace:
    """What the command did to the folder; the lines that it wrote to the file `said` are its acknowledgements.

    Raises:
        TraceError: the command failed, or the record does not lead to what the folder holds now.
    """
    folder = folder.resolve()
    before = Disk.of(folder)
    told = subprocess.run(
        ["strace", "-f", "-y", "-xx", "-s", "1000000000", "--seccomp-bpf", "-qq", "-e", f"trace={CALLS}",
         "-e", "signal=none", "-o", str(log), *command],
        capture_output=True, text=True, check=False, cwd=folder, env=environment,
    )  # fmt: skip
    if told.returncode != 0:
        raise TraceError(f"the traced command ended with {told.returncode}:\n{told.stdout}{told.stderr}")
    with log.open(encoding="ascii") as lines:
        reader = _Reader(folder, said.resolve(), before.copy())
        operations = reader.read(lines)
    _compare(reader.disk, folder)
    return Trace(before, operations)


def _compare(disk: Disk, folder: Path) -> None:
    expected, _ = disk.listing()
    actual, _ = Disk.of(folder).listing()
    different = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if different:
        raise TraceError(f"replaying the record gives other files than there are: {', '.join(different)}")


@dataclass(slots=True)
class _Open:
    """An open file: what it is of, and where the next `write` goes."""

    inode: int
    position: int = 0
    is_appending: bool = False


@dataclass(slots=True)
class _Call:
    """A system call that returned without an error."""

    process: int
    name: str
    arguments: list[str]
    result: int
    result_path: str
    started: int


class _Reader:
    """Turns strace's lines into operations, keeping track of open files and of the tree of names."""

    def __init__(self, folder: Path, said: Path, disk: Disk) -> None:
        self._folder, self._said = str(folder), str(said)
        self.disk = disk
        self._next = max([*disk.files, *disk.folders]) + 1
        self._opened: dict[int, dict[int, _Open | None]] = {}
        self._process: dict[int, int] = {}
        self._said_by: set[tuple[int, int]] = set()
        self._unsaid = ""
        self._operations: list[Operation] = []

    def read(self, lines: Iterable[str]) -> tuple[Operation, ...]:
        for call in self._calls(list(lines)):
            self._take(call)
        return tuple(self._operations)

    def _calls(self, lines: list[str]) -> Iterator[_Call]:
        parents = dict(_threads_and_children(lines))
        pending: dict[int, tuple[str, int]] = {}
        for line in lines:
            if (found := _LINE.match(line.rstrip("\n"))) is None:
                raise TraceError(f"not a line of strace: {line[:200]}")
            thread, text = int(found[1]), found[2]
            if text.startswith(("+++", "---")):
                continue
            if text.endswith(_UNFINISHED):
                if text.startswith("close("):  # the number is free from here on, before strace says so
                    which = text.removeprefix("close(").removesuffix(_UNFINISHED)
                    yield _Call(self._process_of(thread, parents), "close", [which], 0, "", len(self._operations))
                pending[thread] = (text.removesuffix(_UNFINISHED), len(self._operations))
                continue
            started = len(self._operations)
            if (resumed := _RESUMED.match(text)) is not None:
                begun, started = pending.pop(thread)
                if begun.startswith("close("):
                    continue
                text = begun + resumed[2]
            if (parsed := _CALL.match(text)) is None:
                raise TraceError(f"not a system call: {text[:200]}")
            if parsed[3] == "?" or parsed[3].startswith("-"):
                continue
            process = self._process_of(thread, parents)
            path = _DESCRIPTOR.match(parsed[3] + parsed[4])
            yield _Call(
                process, parsed[1], _arguments(parsed[2]), int(parsed[3], 0), _text((path and path[2]) or ""), started
            )

    def _process_of(self, thread: int, parents: Mapping[int, tuple[int, bool]]) -> int:
        """The process that a thread belongs to; a child begins with its parent's open files."""
        if thread not in self._process:
            parent, is_thread = parents.get(thread, (thread, False))
            above = self._process_of(parent, parents) if parent != thread else thread
            self._process[thread] = above if is_thread else thread
            if not is_thread:
                self._opened[thread] = dict(self._opened.get(above, {}))
        return self._process[thread]

    # -- one call

    def _take(self, call: _Call) -> None:
        match call.name:
            case "openat" | "open" | "creat":
                self._open(call)
            case "close":
                self._opened[call.process].pop(_number(call.arguments[0]), None)
                self._said_by.discard((call.process, _number(call.arguments[0])))
            case "dup" | "dup2" | "dup3":
                self._duplicate(call)
            case "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2":
                self._write(call)
            case "fsync" | "fdatasync":
                if (file := self._file(call, call.arguments[0])) is not None:
                    self._done(Sync(file.inode, call.started))
            case "syncfs":
                self._done(Sync(EVERYTHING, call.started))
            case "ftruncate" | "truncate" | "fallocate" | "lseek":
                self._size(call)
            case "mmap":
                self._map(call)
            case "copy_file_range" | "sendfile":
                if self._file(call, call.arguments[2 if call.name == "copy_file_range" else 0]) is not None:
                    raise TraceError(f"{call.name} into a file of the folder does not show what was written")
            case _:
                self._names(call)

    def _open(self, call: _Call) -> None:
        path, flags = call.result_path, call.arguments[1 if call.name == "open" else 2].split("|")
        if call.name == "creat" or "O_TMPFILE" in flags:
            raise TraceError(f"{call.name} with {'|'.join(flags)} is not followed")
        opened = self._opened[call.process]
        opened.pop(call.result, None)
        if path == self._said:
            self._said_by.add((call.process, call.result))
            return
        inside = self._inside(path)
        if inside is None:
            return
        inode = self.disk.find(inside)
        if inode is None and "O_CREAT" not in flags:
            raise TraceError(f"{inside} was opened, but nothing has made it")
        if inode is None:
            inode = self._new(inside, is_folder=False)
        elif "O_TRUNC" in flags and self.disk.files.get(inode):
            self._done(Resize(inode, 0))
        opened[call.result] = _Open(inode, is_appending="O_APPEND" in flags)

    def _duplicate(self, call: _Call) -> None:
        old, opened = _number(call.arguments[0]), self._opened[call.process]
        opened.pop(call.result, None)
        if old in opened:
            opened[call.result] = opened[old]
        if (call.process, old) in self._said_by:
            self._said_by.add((call.process, call.result))

    def _write(self, call: _Call) -> None:
        vectors = "v" in call.name.removeprefix("pwrite").removeprefix("write")
        data = b"".join(map(_bytes, _BASE.findall(call.arguments[1]))) if vectors else _bytes(call.arguments[1])
        data = data[: call.result]
        if (call.process, _number(call.arguments[0])) in self._said_by:
            self._say(data.decode())
            return
        file = self._file(call, call.arguments[0])
        if file is None or not data:
            return
        if call.name.startswith("p"):
            self._done(Write(file.inode, int(call.arguments[3]), data))
            return
        offset = len(self.disk.files[file.inode]) if file.is_appending else file.position
        file.position = offset + len(data)
        self._done(Write(file.inode, offset, data))

    def _say(self, text: str) -> None:
        *lines, self._unsaid = (self._unsaid + text).split("\n")
        for line in lines:
            self._done(Acknowledged(line))

    def _size(self, call: _Call) -> None:
        if call.name == "truncate":
            inside = self._inside(_text(_unquoted(call.arguments[0])))
            inode = None if inside is None else self.disk.find(inside)
            if inode is not None:
                self._done(Resize(inode, int(call.arguments[1])))
            return
        file = self._file(call, call.arguments[0])
        if file is None:
            return
        if call.name == "lseek":
            file.position = call.result
        elif call.name == "ftruncate":
            self._done(Resize(file.inode, int(call.arguments[1])))
        elif call.arguments[1] == "0":
            end = int(call.arguments[2]) + int(call.arguments[3])
            if end > len(self.disk.files[file.inode]):
                self._done(Resize(file.inode, end))
        elif call.arguments[1] != "FALLOC_FL_KEEP_SIZE":
            raise TraceError(f"fallocate with {call.arguments[1]} is not followed")

    def _map(self, call: _Call) -> None:
        if "PROT_WRITE" not in call.arguments[2] or "MAP_SHARED" not in call.arguments[3]:
            return
        if self._file(call, call.arguments[4]) is not None:
            raise TraceError("a file of the folder is written through memory, which no record shows")

    def _names(self, call: _Call) -> None:
        """Calls that give and take names: mkdir, rename, link, unlink and their `at` forms."""
        name = call.name
        paths = self._paths(call)
        if all(path is None for path in paths):
            return
        if name.startswith(("symlink", "link")) or any(path is None for path in paths):
            self._link(call, paths)
        elif name.startswith("mkdir"):
            self._new(paths[0] or "", is_folder=True)
        elif name.startswith("rename"):
            if len(call.arguments) == 5 and "EXCHANGE" in call.arguments[4]:
                raise TraceError("renameat2 that exchanges is not followed")
            old, new = self._place(paths[0] or ""), self._place(paths[1] or "")
            inode = self.disk.folders[old[0]][old[1]]
            if self.disk.folders[new[0]].get(new[1]) != inode:
                self._done(Rename(*old, *new, inode))
        elif name.startswith(("unlink", "rmdir")):
            self._done(Unlink(*self._place(paths[0] or "")))
        elif name != "sync_file_range":
            raise TraceError(f"{name} is not followed")

    def _link(self, call: _Call, paths: list[str | None]) -> None:
        found = None if len(paths) < 2 or paths[0] is None else self.disk.find(paths[0])
        if found is None or paths[1] is None or not call.name.startswith("link"):
            raise TraceError(f"{call.name} between the folder and somewhere else is not followed")
        self._done(Link(*self._place(paths[1]), found))

    # -- helpers

    def _paths(self, call: _Call) -> list[str | None]:
        """The paths among the arguments, relative to the folder, or None for those elsewhere and those ignored."""
        if call.name in ("clone", "clone3", "fork", "vfork", "sync_file_range"):
            return []
        found: list[str | None] = []
        base = self._folder
        for argument in call.arguments:
            if argument.startswith('"'):
                found.append(self._inside(os.path.join(base, _text(_unquoted(argument)))))  # noqa: PTH118 - plain text
                base = self._folder
            elif (place := _DESCRIPTOR.match(argument)) is not None and place[2]:
                base = _text(place[2])
        return found

    def _inside(self, path: str) -> str | None:
        path = os.path.normpath(path)
        if path == self._folder:
            return ""
        if not path.startswith(self._folder + "/") or is_ignored(path):
            return None
        return path.removeprefix(self._folder + "/")

    def _file(self, call: _Call, argument: str) -> _Open | None:
        """The open file of a call's argument, if it is one of the folder's."""
        if (found := _DESCRIPTOR.match(argument)) is None or found[1] == "AT_FDCWD":
            return None
        file = self._opened[call.process].get(int(found[1]))
        path = _text(found[2] or "")
        if file is None and not argument.endswith("(deleted)") and path.startswith("/") and self._inside(path):
            raise TraceError(f"{call.name} on {path}, which was not seen to be opened")
        return file

    def _place(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition("/")
        folder = self.disk.find(above)
        if folder is None:
            raise TraceError(f"the folder of {path} is not known")
        return folder, name

    def _new(self, path: str, *, is_folder: bool) -> int:
        inode, self._next = self._next, self._next + 1
        self._done(Link(*self._place(path), inode, is_folder))
        return inode

    def _done(self, operation: Operation) -> None:
        self.disk.apply(operation)
        self._operations.append(operation)


def _threads_and_children(lines: Iterable[str]) -> Iterator[tuple[int, tuple[int, bool]]]:
    """For every thread and process that was started: who started it, and whether it is a thread."""
    begun: dict[int, str] = {}
    for line in lines:
        thread, _, text = line.partition(" ")
        text = text.lstrip()
        if not text.startswith(("clone", "fork", "vfork", "<... clone", "<... fork", "<... vfork")):
            continue
        if text.rstrip().endswith(_UNFINISHED.strip()):
            begun[int(thread)] = text
            continue
        result = text.rstrip().rpartition("= ")[2]
        if result.isdigit():
            flags = begun.pop(int(thread), "") + text
            yield int(result), (int(thread), "CLONE_THREAD" in flags)


def _arguments(text: str) -> list[str]:
    """The arguments of a call, split at the commas that are not inside brackets; strings hold none, being in hex."""
    found: list[str] = []
    depth, start = 0, 0
    for mark in re.finditer(r"[\[{(\]})]|, ", text):
        if mark[0] in "[{(":
            depth += 1
        elif mark[0] in "]})":
            depth -= 1
        elif depth == 0:
            found.append(text[start : mark.start()])
            start = mark.end()
    return [*found, text[start:]]


def _number(argument: str) -> int:
    found = _DESCRIPTOR.match(argument)
    return int(found[1]) if found is not None and found[1] != "AT_FDCWD" else -1


def _unquoted(argument: str) -> str:
    return argument.strip('"')


def _bytes(text: str) -> bytes:
    return bytes.fromhex(_unquoted(text).replace("\\x", ""))


def _text(text: str) -> str:
    """A path as strace shows it: in hex, or plain where it is made up, such as `pipe:[1]`."""
    return os.fsdecode(_bytes(text)) if text.startswith("\\x") else text
