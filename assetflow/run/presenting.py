"""What other programs see of an environment, from the catalog: brought up to date when what is current changed.

DuckDB files with views by the names of assets, and folders of Parquet files by the values of partitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Pointers
from assetflow.errors import AssetflowError
from assetflow.io.duckdb_views import Surface, ViewFiles
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec
from assetflow.run.folders import folders_of, has_folders, is_shown, show_partitions


def present(settings: Settings, specs: Mapping[AssetKey, AssetSpec], catalog: Catalog, storage: Storage) -> str:
    """Show what is current in the environment of the settings; why that failed, or nothing.

    It is derived, and the next call makes it anew: no reason for a verb that changed the catalog to fail.
    """
    assets = frozenset(key for key, spec in specs.items() if spec.io == "duckdb")
    versions = Pointers(catalog).shown(settings.env, assets, with_tables=settings.duckdb == "native")
    current = [version for version in versions if version.asset in specs]
    shown = sorted({version.asset for version in current})
    earlier = catalog.live_versions(shown) if shown else []
    surface = Surface(tuple(current), tuple(earlier), settings.env, settings.home_env, assets)
    problems: list[str] = []
    try:
        storage.present(surface)
    except AssetflowError as error:
        problems.append(f"the views in the DuckDB file are not up to date: {error.what}")
    try:
        problems.append(show_partitions(settings, specs, catalog))
    except AssetflowError as error:
        problems.append(f"the folders of partitions are not up to date: {error.what}")
    return "; ".join(one for one in problems if one)


def present_again(settings: Settings, specs: Mapping[AssetKey, AssetSpec], storage: Storage) -> None:
    """Show what is current again, where what was shown was lost or changed, or a run died before it came to it."""
    if storage.shows(settings.env) and not has_folders(settings, specs):
        return
    with closing(Catalog(settings.catalog_path)) as catalog:
        if not (storage.shows(settings.env) and is_shown(settings, specs, catalog)):
            present(settings, specs, catalog, storage)


def stamps_of(settings: Settings, specs: Mapping[AssetKey, AssetSpec]) -> list[str] | None:
    """The files that as they are now show what is current; None when it takes more than a look at files to tell."""
    folders = folders_of(settings).path
    if has_folders(settings, specs):
        return None
    views = ViewFiles(settings.views_path, settings.storage_path).files(settings.env)
    return [str(folders), *(map(str, views) if settings.duckdb == "views" else ())]


def present_everywhere(
    settings: Settings, specs: Mapping[AssetKey, AssetSpec], catalog: Catalog, storage: Storage
) -> str:
    """Show what is there in every environment, after versions were removed; why that failed, or nothing."""
    from assetflow.catalog.keeping import Keeping

    environments = Keeping(catalog.database).environments()
    problems = [present(replace(settings, env=env), specs, catalog, storage) for env in environments]
    return next((one for one in problems if one), "")
