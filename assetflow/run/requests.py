"""What a run was asked to do: a file beside its logs, so that `retry` can ask for the same again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import asdict

_NAME = "request.json"


class Asked(Struct, frozen=True):
    """What `materialize` was given, and the fingerprints of what was to be made. `config` are overrides by asset."""

    selection: str = ""
    force: bool = False
    with_upstream: bool = True
    executor: str | None = None
    workers: int | None = None
    fail_fast: bool = False
    retries: int | None = None
    config: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    code: Mapping[str, str] = field(default_factory=dict[str, str])
    partitions: str | None = None
    rebuild: bool = False


def save_request(folder: Path, asked: Asked) -> None:
    """Write it into the folder of a run. Readable by its owner alone: an override may be a password."""
    # Without the file, a retry knows the selection from the catalog: a disk that is full must not stop the run here.
    with suppress(OSError, TypeError, ValueError):
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(folder / _NAME, flags, 0o600), "w", encoding="utf-8") as stream:
            json.dump(asdict(asked), stream)


def read_request(folder: Path) -> Asked | None:
    """What the run of this folder was asked; None when that is not known any more."""
    try:
        return Asked(**json.loads((folder / _NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
