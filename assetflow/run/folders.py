"""What the folders of partitions show of an environment, from the catalog: brought up to date by what has changed.

A note beside the folders says up to which commit they are. What moved since then, and what lost its bytes or got them
back, is looked at; the rest of a hundred thousand partitions is not. Where the note does not fit (another catalog,
other partitions, a folder that somebody changed), everything is compared.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from assetflow.catalog.catalog import Catalog, Slot
from assetflow.catalog.slots import SlotRows
from assetflow.errors import UsageError
from assetflow.io.hive import PartitionFolders, Place, names_for
from assetflow.load.keyed import dynamic_in, filled
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec

if TYPE_CHECKING:  # as in io.hive
    from assetflow.partitions.definition import Definition

_IO = "parquet"


class Unlike(Struct, frozen=True):
    """An asset whose folder does not show what is current, and in how many files."""

    asset: AssetKey
    env: str
    files: int


def folders_of(settings: Settings, env: str = "") -> PartitionFolders:
    """The folders of an environment; of that of the settings when none is named."""
    return PartitionFolders(settings.views_path, settings.storage_path, env or settings.env)


def show_partitions(settings: Settings, specs: Mapping[AssetKey, AssetSpec], catalog: Catalog) -> str:
    """Bring the folders of the environment of the settings up to date; what could not be shown, or nothing.

    Raises:
        DiskFull, NotWritable, StorageFailed: the disk refused; the next call goes on.
    """
    folders, definitions = folders_of(settings), _definitions(settings, specs, catalog)
    if definitions:
        with folders.exclusive():
            return _Round(folders, catalog, settings.env).bring_up_to_date(definitions)
    if folders.path.is_dir():
        folders.drop()
    return ""


def has_folders(settings: Settings, specs: Mapping[AssetKey, AssetSpec]) -> bool:
    """Whether there are folders, or should be: without a look at the catalog."""
    return any(_is_shown(settings, spec) for spec in specs.values()) or folders_of(settings).path.is_dir()


def is_shown(settings: Settings, specs: Mapping[AssetKey, AssetSpec], catalog: Catalog) -> bool:
    """Whether the folders are up to date, by a look at each from outside."""
    folders, definitions = folders_of(settings), _definitions(settings, specs, catalog)
    if not definitions:
        return not folders.path.is_dir()
    note = folders.note()
    told = cast("dict[str, dict[str, object]]", note.get("assets", {}))
    if note.get("seq") != SlotRows(catalog.database, settings.env).seq() or told.keys() != definitions.keys():
        return False
    return all(
        told[key]["partitions"] == _told(definition) and told[key]["state"] == folders.state(key)
        for key, definition in definitions.items()
    )


def unlike(settings: Settings, catalog: Catalog, environments: Iterable[str]) -> list[Unlike]:
    """The assets whose folders differ from what is current, as far as they were ever made. Changes nothing."""
    found: list[Unlike] = []
    for env in environments:
        one = _Round(folders_of(settings, env), catalog, env)
        counts = {key: one.wrong(key, definition) for key, definition in one.noted().items()}
        found += [Unlike(key, env, count) for key, count in counts.items() if count]
    return found


def mend_partitions(settings: Settings, catalog: Catalog, found: Iterable[Unlike]) -> int:
    """Make the folders of these assets what is current, whatever is in them; how many files changed.

    Raises:
        DiskFull, NotWritable, StorageFailed: the disk refused.
    """
    wanted: defaultdict[str, list[AssetKey]] = defaultdict(list)
    for one in found:
        wanted[one.env].append(one.asset)
    done = 0
    for env, assets in wanted.items():
        folders = folders_of(settings, env)
        with folders.exclusive():
            done += _Round(folders, catalog, env).mend(assets)
    return done


def _definitions(
    settings: Settings, specs: Mapping[AssetKey, AssetSpec], catalog: Catalog
) -> dict[AssetKey, Definition]:
    """The partitions of the assets that are to have folders."""
    parted = {
        key: spec.partitions for key, spec in specs.items() if spec.partitions is not None and _is_shown(settings, spec)
    }
    if not any(dynamic_in(one) for one in parted.values()):
        return parted
    from assetflow.catalog.dynamic import DynamicKeys

    keys = DynamicKeys(catalog).all()
    return {key: filled(definition, keys) for key, definition in parted.items()}


def _is_shown(settings: Settings, spec: AssetSpec) -> bool:
    return settings.hive and spec.partitions is not None and not spec.is_source


class _Round:
    """One look at the folders of an environment, with the note of the last one."""

    def __init__(self, folders: PartitionFolders, catalog: Catalog, env: str) -> None:
        self._folders, self._rows = folders, SlotRows(catalog.database, env)
        note = folders.note()
        self._noted = {name: value for name, value in note.items() if name != "storage"}
        self._told = cast("dict[str, dict[str, Any]]", note.get("assets", {}))
        self._since, self._seen = cast("int", note.get("seq", -1)), cast("list[object]", note.get("newest", []))
        # Taken before anything else is read: what is committed meanwhile is looked at again the next time.
        self._seq, self._newest = self._rows.seq(), self._rows.newest()
        is_known = bool(note) and self._since <= self._seq and self._rows.has(self._seen)
        self._moved = _by_asset(self._rows.moved_since(self._since)) if is_known else None
        self._without = _by_asset(self._rows.without_bytes())
        self._nameless = 0

    def bring_up_to_date(self, definitions: Mapping[AssetKey, Definition]) -> str:
        """Make every folder show what is current; what could not be shown, or nothing."""
        self._folders.keep_only(definitions)
        self._note({key: self._asset(key, definition) for key, definition in definitions.items()})
        if not self._nameless:
            return ""
        what = "1 partition has a key" if self._nameless == 1 else f"{self._nameless} partitions have keys"
        return f"{what} too long for the name of a folder; see the setting `hive`"

    def noted(self) -> Mapping[AssetKey, Definition]:
        """The partitions of the assets that have folders, as they were noted."""
        from assetflow.partitions.forms import definition_from_json

        return {AssetKey(key): definition_from_json(told["partitions"]) for key, told in self._told.items()}

    def wrong(self, key: AssetKey, definition: Definition) -> int:
        """How many files in the folder of an asset are not what they should be."""
        names = names_for(definition, self._rows.columns(key))
        changed, others = self._folders.differing(key, self._places(key, definition, names).values())
        return len(changed) + len(others)

    def mend(self, assets: Iterable[AssetKey]) -> int:
        """Compare everything in the folders of these assets, and make it right; how many files changed."""
        noted, told, done = self.noted(), dict(self._told), 0
        for key in assets:
            names = names_for(noted[key], self._rows.columns(key))
            done += self._whole(key, noted[key], names)
            told[key] = self._state(key, noted[key], names)
        self._note(told, is_whole=False)
        return done

    def _asset(self, key: AssetKey, definition: Definition) -> dict[str, Any]:
        told = self._told.get(key, {})
        is_same = told.get("partitions") == _told(definition) and told.get("state") == self._folders.state(key)
        if self._moved is not None and is_same:
            touched = self._moved.get(key, set()) | (self._without.get(key, set()) ^ set(told["without"]))
            if not touched:
                return told
            names: list[str] = told["names"]
            if not {one.lower() for one in self._rows.columns(key, touched)} & {one.lower() for one in names}:
                places = self._places(key, definition, names, touched)
                self._folders.show(key, places.values())
                self._folders.hide(key, self._folders.named(names, touched - places.keys()))
                return self._state(key, definition, names)
        names = names_for(definition, self._rows.columns(key))
        self._whole(key, definition, names)
        return self._state(key, definition, names)

    def _whole(self, key: AssetKey, definition: Definition, names: list[str]) -> int:
        changed, others = self._folders.differing(key, self._places(key, definition, names).values())
        return self._folders.remove(key, others) + self._folders.show(key, changed)

    def _places(
        self, key: AssetKey, definition: Definition, names: list[str], parts: Iterable[str] | None = None
    ) -> dict[str, Place]:
        """Where what is current and of the definition is to be shown, by partition; with `parts`, of these only."""
        ordinals: dict[int, tuple[str, str]] = {}
        for part, io, location in self._rows.places(key, parts):
            with suppress(UsageError):  # it is none of the definition of now
                if io == _IO:
                    ordinals[definition.ordinal(part)] = part, location
        found: dict[str, Place] = {}
        from assetflow.partitions.ordinals import Ordinals

        for ordinal in definition.clip(Ordinals.of(*ordinals)):
            part, location = ordinals[ordinal]
            if (place := self._folders.place(names, part, location)) is None:
                self._nameless += 1
            else:
                found[part] = place
        return found

    def _state(self, key: AssetKey, definition: Definition, names: list[str]) -> dict[str, Any]:
        return {
            "partitions": _told(definition),
            "names": names,
            "without": sorted(self._without.get(key, ())),
            "state": self._folders.state(key),
        }

    def _note(self, told: Mapping[str, object], *, is_whole: bool = True) -> None:
        """Note what is shown; of assets that nobody looked at, what moved since the last note stays to be looked at."""
        seq, newest = (self._seq, self._newest) if is_whole else (self._since, self._seen)
        note = {"seq": seq, "newest": newest, "assets": dict(told)}
        if note != self._noted:
            self._folders.write_note(note)


def _told(definition: Definition) -> object:
    """The definition as it is read back from a note."""
    return json.loads(json.dumps(definition.to_json()))


def _by_asset(slots: Iterable[Slot]) -> dict[AssetKey, set[str]]:
    found: defaultdict[AssetKey, set[str]] = defaultdict(set)
    for key, part in slots:
        found[key].add(part)
    return found
