"""What a comparison of two versions says: plain values that screens, JSON and notebooks show."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, isnan
from typing import cast

from msgspec import Struct


class Side(Struct, frozen=True):
    """One of the two versions. `rows` is None for what is not a table."""

    asset: str
    version: int
    io: str
    data_hash: str
    rows: int | None
    size_bytes: int | None

    @property
    def name(self) -> str:
        """`orders@3`."""
        return f"{self.asset}@{self.version}"


class Retyped(Struct, frozen=True):
    """A column of another type. `is_compared` is False where no type holds the values of both exactly."""

    name: str
    old: str
    new: str
    is_compared: bool


class SchemaDiff(Struct, frozen=True):
    """How the columns differ: `added` and `removed` hold name and type, `renamed` the old name and the new one."""

    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    retyped: tuple[Retyped, ...] = ()
    is_reordered: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether both have the same columns of the same types in the same order."""
        return not (self.added or self.removed or self.renamed or self.retyped or self.is_reordered)


class Profile(Struct, frozen=True):
    """A column at a glance; NaN counts apart from null and takes no part in the rest. `distinct` is an estimate.

    `histogram` counts values in bins of equal width over the range that both versions cover together.
    """

    nulls: int
    nans: int = 0
    low: object = None
    high: object = None
    mean: float | None = None
    distinct: int | None = None
    histogram: tuple[int, ...] = ()


class ColumnDiff(Struct, frozen=True):
    """A column whose content differs: in `changed` rows that both have (None: rows were not matched)."""

    name: str
    changed: int | None = None
    old: Profile | None = None
    new: Profile | None = None


class RowDiff(Struct, frozen=True):
    """A row that differs. change: changed, added or removed; `key` are the values of the key columns.

    `values` holds by column the old and the new value where they differ; one of both is None for rows that were added
    or removed, of which every other column is there. `count` is how many equal rows this stands for.
    """

    change: str
    key: Mapping[str, object]
    values: Mapping[str, tuple[object, object]]
    count: int = 1


class CodeChange(Struct, frozen=True):
    """A function, class or constant that the code consists of. change: changed, added or removed."""

    name: str
    change: str
    file: str | None = None
    line: int = 0


class ConfigChange(Struct, frozen=True):
    """A config field with its values as JSON text; None where it was not set."""

    field: str
    old: str | None
    new: str | None


class InputChange(Struct, frozen=True):
    """An input that was read in another version, by only one of the two, or in another way."""

    upstream: str
    parameter: str
    change: str
    old: int | None = None
    new: int | None = None


class Cause(Struct, frozen=True):
    """What differs between the two computations that made the versions.

    Nothing of it differing means that the function gives different results for the same inputs.
    """

    code: tuple[CodeChange, ...] = ()
    config: tuple[ConfigChange, ...] = ()
    inputs: tuple[InputChange, ...] = ()
    is_definition_changed: bool = False

    @property
    def is_same(self) -> bool:
        """Whether the same code read the same inputs."""
        return not (self.code or self.config or self.inputs or self.is_definition_changed)


class TableDiff(Struct, frozen=True):
    """How two tables differ.

    level: what answered: identical, schema (nothing was read), append (one begins with all rows of the other), keyed
    (rows were matched by `key`), or multiset (rows were counted). `key_from` is given, declared or found.
    `added`, `removed` and `changed` count rows, None when the rows were not compared. `rows` is a sample. `notes` are
    sentences for people. `cause` is None for versions of two assets, and when it is not recorded. `common` counts the
    columns that both have, as far as their values were compared.
    """

    old: Side
    new: Side
    level: str
    is_different: bool
    schema: SchemaDiff
    columns: tuple[ColumnDiff, ...] = ()
    key: tuple[str, ...] = ()
    key_from: str = ""
    added: int | None = None
    removed: int | None = None
    changed: int | None = None
    rows: tuple[RowDiff, ...] = ()
    notes: tuple[str, ...] = ()
    exported: int | None = None
    cause: Cause | None = None
    common: int = 0

    def __repr__(self) -> str:
        counted = [("changed", self.changed), ("added", self.added), ("removed", self.removed)]
        words = [f"{count:,} {word}" for word, count in counted if count]
        if not self.is_different:
            words = ["identical" if self.level == "identical" else "no difference"]
        elif not words:
            words = [", ".join(f"`{one.name}`" for one in self.columns) + " changed"] if self.columns else ["schema"]
        return f"<TableDiff {self.old.name} → {self.new.name}: {', '.join(words)}>"

    def to_json(self) -> dict[str, object]:
        """The difference as JSON-able values, but for values of rows: of those, NaN and infinities are texts."""
        return cast("dict[str, object]", _plain(self))


class PathDiff(Struct, frozen=True):
    """A place where two values that are not tables differ. change: changed, added or removed.

    `path` is written `$.menu[3].price` for JSON, and is the path of the file for a folder, whose values are its bytes.
    """

    path: str
    change: str
    old: object = None
    new: object = None


class ValueDiff(Struct, frozen=True):
    """How two versions differ that are not both tables. kind: json, file, pickle, other, or mixed.

    `paths` is a sample of `count` differences; `count` is None where nothing could be looked into.
    """

    old: Side
    new: Side
    kind: str
    is_different: bool
    count: int | None = None
    paths: tuple[PathDiff, ...] = ()
    notes: tuple[str, ...] = ()
    cause: Cause | None = None

    def __repr__(self) -> str:
        word = "different" if self.is_different else "identical"
        more = f" in {self.count:,} place{'s' * (self.count != 1)}" if self.is_different and self.count else ""
        return f"<ValueDiff {self.old.name} → {self.new.name}: {word}{more}>"

    def to_json(self) -> dict[str, object]:
        """The difference as JSON-able values, but for the values themselves, which stay what they are."""
        return cast("dict[str, object]", _plain(self))


def _plain(value: object) -> object:
    """Structs as dicts and tuples of them as lists; everything else as it is."""
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"  # JSON has none, and null is another
    if isinstance(value, tuple):
        return [_plain(one) for one in cast("tuple[object, ...]", value)]
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in cast("Mapping[object, object]", value).items()}
    return value
