"""The texts of the code behind the assets, in a file beside the manifest: most commands never look at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from assetflow.fingerprint.hashing import digest
from assetflow.load.caches import read_plain, write_plain
from assetflow.load.settings import Settings
from assetflow.model.code import CodeSource, source_from_json, sources_to_json


class StoredSources(Mapping[str, CodeSource]):
    """The texts as they were written, read when the first one is asked for; none when the file is not that one.

    Then it is removed, so that the next command loads the project and writes it again.
    """

    def __init__(self, path: Path, size: int, content: str) -> None:
        self._path, self._size, self._content = path, size, content
        self._found: dict[str, CodeSource] | None = None

    def is_there(self) -> bool:
        """Whether a file of the right size is there."""
        try:
            return self._size < 0 or self._path.stat().st_size == self._size
        except OSError:
            return False

    def __getitem__(self, key: str) -> CodeSource:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> dict[str, CodeSource]:
        if self._found is None:
            self._found = _texts_in(self._path)
            if _digest_of(self._found) != self._content:
                self._found = {}
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
        return self._found


def earlier_sources(settings: Settings) -> Mapping[str, CodeSource]:
    """The texts that the last load found; none when they are not there."""
    return _texts_in(sources_path(settings))


def _texts_in(path: Path) -> dict[str, CodeSource]:
    try:
        stored = cast("dict[str, Sequence[object]]", read_plain(path))
        return {key: source_from_json(one) for key, one in stored.items()}
    except (AttributeError, TypeError, ValueError):
        return {}


def sources_path(settings: Settings) -> Path:
    """The file of the texts."""
    return settings.state_path / "cache" / "code-sources.json"


def write_sources(path: Path, sources: Mapping[str, CodeSource]) -> tuple[int, str]:
    """Keep the texts; the size of the file and a digest by which it is known again."""
    return write_plain(path, sources_to_json(sources)), _digest_of(sources)


def _digest_of(sources: Mapping[str, CodeSource]) -> str:
    return digest("sources", *(key.encode() for key in sorted(sources)))
