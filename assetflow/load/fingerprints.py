"""Fingerprints of the code behind the assets of a project, with what is kept of them between loads."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from assetflow.fingerprint.code import Fingerprinter
from assetflow.fingerprint.files import ProjectFiles
from assetflow.fingerprint.hashing import SCHEME, digest
from assetflow.fingerprint.index import FORMAT
from assetflow.fingerprint.values import encode_value
from assetflow.io.constants import constant_content
from assetflow.load.caches import read_cache, write_cache
from assetflow.load.live import LiveNode
from assetflow.load.manifest import own_code
from assetflow.load.settings import Settings
from assetflow.model.code import CodeSource
from assetflow.model.declare import SourceDefinition
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec

_PYTHON = ".".join(map(str, sys.version_info[:3]))


def with_code(
    specs: Iterable[AssetSpec],
    nodes: Mapping[str, LiveNode],
    sources: Mapping[AssetKey, SourceDefinition],
    files: ProjectFiles,
) -> tuple[tuple[AssetSpec, ...], dict[str, CodeSource]]:
    """The specs with the fingerprint of their code, and the texts of all that code by digest.

    A source's fingerprint says how it is read, so that its options count too.
    """
    fingerprinter = Fingerprinter(files, constant_content)
    texts: dict[str, CodeSource] = {}
    collects = gc.isenabled()
    gc.disable()  # much is made and all of it is kept, so looking for garbage takes a fifth of the time and finds none
    try:
        by_node = {name: fingerprinter.of(node.function) for name, node in nodes.items()}
    finally:
        if collects:
            gc.enable()
    found: list[AssetSpec] = []
    for spec in specs:
        if spec.source is None:
            code = by_node[spec.node]
            texts.update(code.sources)
            digest_of_code = code.digest
        else:
            load = sources[spec.key].load
            code = None if load is None else fingerprinter.of(load)
            reading = {"format": spec.source.format, "options": dict(spec.source.options)}
            text = encode_value(reading, lambda value, _: repr(value).encode())
            texts.update({} if code is None else code.sources)
            digest_of_code = digest("source", text, b"" if code is None else code.digest.encode())
        found.append(
            replace(
                spec,
                code=digest_of_code,
                code_parts=None if code is None else code.parts,
                code_notes=() if code is None else code.notes,
                packages={} if spec.source is not None or code is None else {"python": _PYTHON, **code.packages},
            )
        )
    return tuple(found), texts


def read_indexes(settings: Settings) -> Mapping[str, Sequence[object]]:
    """The indexes of files that earlier loads made, by the digest of the file's content."""
    stored = read_cache(_path(settings))
    if not isinstance(stored, dict):
        return {}
    found = cast("dict[str, object]", stored)
    if found.get("key") != _key() or not isinstance(found.get("files"), dict):
        return {}
    return cast("dict[str, Sequence[object]]", found["files"])


def write_indexes(settings: Settings, files: ProjectFiles, known: Mapping[str, Sequence[object]]) -> None:
    """Keep the indexes that were used, when they are not what is kept already."""
    if files.indexes.keys() != known.keys():
        write_cache(_path(settings), {"key": _key(), "files": files.indexes})


def _path(settings: Settings) -> Path:
    return settings.state_path / "cache" / "code-index.json"


def _key() -> list[object]:
    """What an index depends on besides the file: the form of it, how digests are made, and the version of Python."""
    return [FORMAT, SCHEME.decode(), list(sys.version_info[:2]), own_code()]
