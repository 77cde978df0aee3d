"""The child process of `deep`: reads the versions it is told of, one in each line, and answers what is wrong."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from assetflow.errors import AssetflowError, DamagedVersion
from assetflow.io.storage import Storage
from assetflow.model.records import Version


def main(storage: str, warehouse: str) -> None:
    """Answer until there is no further line. Pickles are never loaded here, whatever the project allows."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not get between the answers
    reader = Storage(Path(storage), warehouse=Path(warehouse), allow_pickle=False)
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_problems(reader, Version(**json.loads(line)))).encode() + b"\n")


def _problems(storage: Storage, version: Version) -> list[str] | str:
    """What is wrong, or the reason for which that could not be found out."""
    try:
        return storage.verify(version, deep=True)
    except DamagedVersion as error:
        return [error.what]
    except (AssetflowError, MemoryError, OSError) as error:
        return str(getattr(error, "what", "")) or f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001 - managers name damage; anything else (a failed import) is not of the file
        return f"it could not be read: {type(error).__name__}: {error}"
