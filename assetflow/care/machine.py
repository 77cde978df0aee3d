"""What a store stands on: the file system, its room and its rights."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset(
    ["9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "gpfs", "lustre",
     "ncpfs", "nfs", "nfs4", "smb3", "smbfs"]
)  # fmt: skip
"""File systems whose locks and syncs are those of another machine."""


def file_system(path: Path, mounts: Path = MOUNTS) -> str:
    """The kind of file system that the path is on, such as ext4; empty where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place = str(path.resolve())
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        mounted = _unescaped(fields[4])
        inside = place == mounted or place.startswith(mounted.rstrip("/") + "/")
        if inside and len(mounted) >= len(best):
            best, kind = mounted, right.split()[0]
    return kind


def unwritable(*places: Path) -> list[Path]:
    """Those of the folders and files, as far as they exist, that this user cannot write."""
    return [place for place in places if place.exists() and not os.access(place, os.W_OK)]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
