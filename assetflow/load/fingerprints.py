"""Fingerprints of the code behind the assets of a project, with what is kept of them between loads."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from assetflow.fingerprint.code import CodeFingerprint, Fingerprinter
from assetflow.fingerprint.files import ProjectFiles
from assetflow.fingerprint.hashing import SCHEME, digest
from assetflow.fingerprint.index import FORMAT
from assetflow.io.constants import constant_content
from assetflow.load.caches import read_plain, write_plain
from assetflow.load.live import LiveHook, LiveNode, LiveOutput
from assetflow.load.settings import Settings
from assetflow.load.untouched import own_code
from assetflow.model.code import CodeSource
from assetflow.model.declare import SourceDefinition
from assetflow.model.garbage import garbage_kept
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec

_PYTHON = ".".join(map(str, sys.version_info[:3]))


def fingerprinter_of(files: ProjectFiles, texts: Mapping[str, CodeSource]) -> Fingerprinter:
    """Makes the fingerprints of one load; each piece of code is looked at once, whatever reaches it."""
    return Fingerprinter(files, constant_content, texts)


def with_code(
    specs: Iterable[AssetSpec],
    nodes: Mapping[str, LiveNode],
    sources: Mapping[AssetKey, SourceDefinition],
    fingerprinter: Fingerprinter,
) -> tuple[tuple[AssetSpec, ...], dict[str, CodeSource], dict[str, LiveNode]]:
    """The specs with the fingerprint of their code, the texts of all that code by digest, and the nodes.

    A source's fingerprint says how it is read, so that its options count too. The nodes know then whether their code
    and that of their checks uses the shared connection of DuckDB.
    """
    with garbage_kept():
        by_node = {name: fingerprinter.of(node.function) for name, node in nodes.items()}
        found = [_with_its_code(spec, by_node, sources, fingerprinter) for spec in specs]
        texts = fingerprinter.sources()
        # The code of checks does not count for the assets, so it comes after the texts.
        return tuple(found), texts, {name: _sharing(one, by_node[name], fingerprinter) for name, one in nodes.items()}


def _sharing(node: LiveNode, code: CodeFingerprint, fingerprinter: Fingerprinter) -> LiveNode:
    """The node with what is known of its code and that of its checks."""
    checks = [check for output in node.outputs for check in output.custom_checks]
    sharing = {check.name for check in checks if fingerprinter.of(check.function).shares_duckdb}
    if not sharing and not code.shares_duckdb:
        return node

    def known(output: LiveOutput) -> LiveOutput:
        checks = (replace(one, shares_duckdb=one.name in sharing) for one in output.custom_checks)
        return replace(output, custom_checks=tuple(checks))

    return replace(node, outputs=tuple(map(known, node.outputs)), shares_duckdb=code.shares_duckdb)


def sharing_sources(
    sources: Mapping[AssetKey, SourceDefinition], fingerprinter: Fingerprinter
) -> frozenset[AssetKey]:  # fmt: skip
    """The sources whose function uses the shared connection of DuckDB."""
    loads = {key: one.load for key, one in sources.items() if one.load is not None}
    return frozenset(key for key, load in loads.items() if fingerprinter.of(load).shares_duckdb)


def sharing_hooks(hooks: Iterable[LiveHook], fingerprinter: Fingerprinter) -> tuple[LiveHook, ...]:
    """The hooks, with whether their function uses the shared connection of DuckDB."""
    return tuple(replace(one, shares_duckdb=fingerprinter.of(one.function).shares_duckdb) for one in hooks)


def _with_its_code(
    spec: AssetSpec,
    by_node: Mapping[str, CodeFingerprint],
    sources: Mapping[AssetKey, SourceDefinition],
    fingerprinter: Fingerprinter,
) -> AssetSpec:
    known: dict[str, Any] = {}
    if spec.source is None:
        code = by_node[spec.node]
        known["code"] = code.digest
    else:
        from assetflow.fingerprint.values import encode_value

        load = sources[spec.key].load
        code = None if load is None else fingerprinter.of(load)
        reading = {"format": spec.source.format, "options": dict(spec.source.options)}
        text = encode_value(reading, lambda value, _: repr(value).encode())
        known["code"] = digest("source", text, b"" if code is None else code.digest.encode())
    if code is not None:
        known.update(code_parts=code.parts, code_notes=code.notes)
        if spec.source is None:
            known["packages"] = {"python": _PYTHON, **code.packages}
    return replace(spec, **known)


def read_indexes(settings: Settings) -> Mapping[str, list[object]]:
    """The indexes of files that earlier loads made, by the digest of the file's content."""
    stored = read_plain(_path(settings))
    if not isinstance(stored, dict):
        return {}
    found = cast("dict[str, object]", stored)
    if found.get("key") != _key() or not isinstance(found.get("files"), dict):
        return {}
    return cast("dict[str, list[object]]", found["files"])


def write_indexes(settings: Settings, files: ProjectFiles, known: Mapping[str, list[object]]) -> None:
    """Keep the indexes that were used, when they are not what is kept already."""
    if files.has_more or files.indexes.keys() != known.keys():
        write_plain(_path(settings), {"key": _key(), "files": files.indexes})


def _path(settings: Settings) -> Path:
    return settings.state_path / "cache" / "code-index.json"


def _key() -> list[object]:
    """What an index depends on besides the file: the form of it, how digests are made, and the version of Python."""
    return [FORMAT, SCHEME.decode(), list(sys.version_info[:2]), own_code()]
