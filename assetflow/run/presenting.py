"""What DuckDB files show of an environment, from the catalog: made anew whenever what is stored or current changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.keeping import Keeping
from assetflow.errors import AssetflowError
from assetflow.io.duckdb_views import Surface
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec


def present(settings: Settings, specs: Mapping[AssetKey, AssetSpec], catalog: Catalog, storage: Storage) -> str:
    """Show what is current in the environment of the settings; why that failed, or nothing.

    It is derived, and the next call makes it anew: no reason for a verb that changed the catalog to fail.
    """
    heads = catalog.heads(settings.env)
    current = [head.version for (key, _), head in heads.items() if key in specs and head.version.io != "source"]
    assets = frozenset(key for key, spec in specs.items() if spec.io == "duckdb")
    shown = sorted({version.asset for version in current if version.asset in assets or version.io == "duckdb"})
    earlier = catalog.live_versions(shown) if shown else []
    surface = Surface(tuple(current), tuple(earlier), settings.env, settings.home_env, assets)
    try:
        storage.present(surface)
    except AssetflowError as error:
        return f"the views in the DuckDB file are not up to date: {error.what}"
    return ""


def present_everywhere(
    settings: Settings, specs: Mapping[AssetKey, AssetSpec], catalog: Catalog, storage: Storage
) -> str:
    """Show what is there in every environment, after versions were removed; why that failed, or nothing."""
    environments = Keeping(catalog.database).environments()
    problems = [present(replace(settings, env=env), specs, catalog, storage) for env in environments]
    return next((one for one in problems if one), "")
