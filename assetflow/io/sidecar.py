"""The sidecar of a version: a file beside its bytes that says what they are and what they were made of.

It is written and synced before the version is published, so that a version can be checked, and the catalog made again,
from the files alone. One line of JSON, and one line with its checksum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from assetflow.model.records import NewVersion

SIDECAR = "_version.json"
FORMAT = 1


def sidecar_bytes(
    version: NewVersion, *, asset: str, partition: str, files: Mapping[str, tuple[int, str]], made: Mapping[str, object]
) -> bytes:
    """The content of a sidecar. `files` maps relative names to size and hash; `made` says by whom and of what."""
    from xxhash import xxh3_128

    facts = {
        "format": FORMAT,
        "asset": asset,
        "partition": partition,
        "io": version.io,
        "data_hash": version.data_hash,
        "rows": version.rows,
        "size_bytes": version.size_bytes,
        "columns": [[name, kind, version.columns.get(name, "")] for name, kind in version.schema.items()],
        "details": dict(version.details),
        "files": {name: {"size": size, "hash": digest} for name, (size, digest) in files.items()},
        **made,
    }
    data = json.dumps(facts, separators=(",", ":")).encode()
    return data + b"\nxxh3:" + xxh3_128(data).hexdigest().encode() + b"\n"


def read_sidecar(directory: Path) -> dict[str, Any]:
    """What the sidecar in a version's folder says.

    Raises:
        ValueError: it is not what was written, or of a format that this assetflow does not know.
        OSError: it is missing or cannot be read.
    """
    from xxhash import xxh3_128

    data, _, rest = (directory / SIDECAR).read_bytes().partition(b"\n")
    if rest != b"xxh3:" + xxh3_128(data).hexdigest().encode() + b"\n":
        raise ValueError(f"{SIDECAR} is not what was written")
    facts = cast("dict[str, Any]", json.loads(data))
    if facts.get("format") != FORMAT:
        raise ValueError(f"{SIDECAR} has the format {facts.get('format')}; this assetflow reads {FORMAT}")
    return facts
