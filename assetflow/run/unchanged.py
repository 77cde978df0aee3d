"""The short way to "nothing to do": what the last whole plan rested on, and whether all of that is as it was.

A plan is a function of the specs, of the catalog, of what sources and declared files and variables are, and of which
stored files are there. When it was empty, all these are written down: the specs by the name of the load, the
catalog by a token that every transaction changes, the rest one by one. As long as nothing differs the plan is empty
again, and no spec and no trace has to be read. Nothing is concluded from a time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assetflow.catalog.catalog import Catalog
from assetflow.errors import AssetflowError
from assetflow.io.sources import FileState, observe_files
from assetflow.load.caches import read_cache, write_cache
from assetflow.load.manifest import manifest_content, own_code
from assetflow.load.settings import Settings
from assetflow.run.declared import DeclaredNow
from assetflow.run.seen import FilesNow

if TYPE_CHECKING:
    from assetflow.io.storage import Storage
    from assetflow.plan.planner import Plan
    from assetflow.run.survey import Survey

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A whole plan that is empty: how many assets there are, and which of them are pinned, as `orders@3`."""

    assets: int
    pinned: tuple[str, ...]


def still_unchanged(settings: Settings) -> Unchanged | None:
    """The whole plan when it is empty because nothing has changed since it was; None when that cannot be told so."""
    stored = read_cache(_path(settings))
    if not isinstance(stored, dict):
        return None
    found = cast("dict[str, object]", stored)
    try:
        if found["key"] != _key(settings) or found["manifest"] != manifest_content(settings):
            return None
        if not settings.catalog_path.exists() or not _is_the_same_world(settings, found):
            return None
        return Unchanged(cast("int", found["assets"]), tuple(cast("list[str]", found["pinned"])))
    except (KeyError, TypeError, ValueError, OSError, AssetflowError):
        return None  # the long way says what is wrong


def remember_unchanged(
    settings: Settings, storage: Storage, manifest: str, token: str, found: Survey, plan: Plan
) -> None:
    """Write down what an empty plan rests on. `manifest` and `token` were taken before anything was looked at."""
    specs, heads = found.world.graph.specs, found.world.heads
    if not manifest or not plan.is_empty or len(plan.steps) < len(specs) or plan.changed_sources:
        return
    sources: list[list[str]] = []
    places: list[str] = []
    for key, spec in specs.items():
        if spec.cue is not None and spec.cue.ttl is not None:
            return  # what time does is not written down
        source, head = spec.source, heads.get((key, ""))
        if source is not None:
            if source.path is None or source.has_token or source.has_as_of or key not in found.observations:
                return  # it must be asked every time
            sources.append([source.path, found.observations[key].token])
        elif head is None or (place := storage.place(head.version)) is None:
            return  # it takes more than to see that a file is there
        elif place:
            places.append(place)
    stored = {
        "key": _key(settings),
        "manifest": manifest,
        "catalog": token,
        "assets": len(specs) - len(sources),
        "pinned": [f"{step.asset}@{step.head.version.number}" for step in plan.pinned if step.head is not None],
        "sources": sources,
        "files": {name: text for spec in specs.values() for name, text in spec.files.items()},
        "variables": {name: text for spec in specs.values() for name, text in spec.env_vars.items()},
        "discovered": _discovered(found),
        "places": places,
    }
    write_cache(_path(settings), stored)


def _is_the_same_world(settings: Settings, found: Mapping[str, object]) -> bool:
    stat, base = os.stat, f"{settings.storage_path}{os.sep}"
    for place in cast("list[str]", found["places"]):
        stat(base + place)  # raises when it is not there
    with closing(Catalog(settings.catalog_path)) as catalog:
        if catalog.token() != found["catalog"]:
            return False
        states: dict[str, FileState] = {}
        sources, files = cast("list[list[str]]", found["sources"]), cast("dict[str, str]", found["files"])
        discovered = cast("dict[str, str]", found["discovered"])
        if sources or files or discovered:
            states = {row[0]: FileState(*row) for row in catalog.file_states().values()}
    now_ns = time.time_ns()  # only files that were saved an instant ago are read again because of it
    declared = DeclaredNow(settings.root, settings.catalog_path, lambda: states, now_ns)
    opened = FilesNow(settings.root, lambda: states, now_ns)
    variables = cast("dict[str, str]", found["variables"])
    return (
        all(observe_files(path, states, now_ns).token == token for path, token in sources)
        and all(declared.file(name) == text for name, text in files.items())
        and all(opened[name] == text for name, text in discovered.items())
        and all(declared.variable(name) == text for name, text in variables.items())
    )


def _discovered(found: Survey) -> dict[str, str]:
    """What the files are now that functions opened, or ran."""
    now = found.world.discovered
    if now is None:
        return {}
    heads = [head for (key, _), head in found.world.heads.items() if key in found.world.graph.specs]
    seen = [head.trace.discovered for head in heads if head.trace.discovered]
    names = {name for one in seen for name in (*one.files, *one.code)}
    return {name: now.files[name] for name in sorted(names)}


def _path(settings: Settings) -> Path:
    return settings.state_path / "cache" / f"unchanged-{settings.env}.json"


def _key(settings: Settings) -> list[object]:
    paths = [str(settings.root), str(settings.storage_path), str(settings.catalog_path)]
    return [
        _FORMAT,
        settings.env,
        settings.discover,
        *paths,
        settings.duckdb,
        str(settings.warehouse_path),
        own_code("plan", "catalog"),
    ]
