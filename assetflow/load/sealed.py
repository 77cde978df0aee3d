"""Cache files that notice when they are not what was written: a flipped bit must not become a setting."""

from __future__ import annotations


def sealed(data: bytes) -> bytes:
    """The data with its checksum behind it."""
    from zlib import crc32

    return data + b"\n%08x" % crc32(data)


def unsealed(data: bytes) -> bytes:
    """The data without its checksum.

    Raises:
        ValueError: it is not what was written.
    """
    from zlib import crc32

    content, _, checksum = data.rpartition(b"\n")
    if checksum != b"%08x" % crc32(content):
        raise ValueError("the file is not what was written")
    return content
