"""Names with partitions in brackets, `orders[2026-01-05..2026-01-07]`: every verb reads them here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from assetflow.errors import NoSuchVersion, UsageError
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.plan.graph import AssetGraph, Slots

if TYPE_CHECKING:  # most projects have no partitions, and load nothing of them
    from assetflow.partitions.definition import Definition
    from assetflow.partitions.ordinals import Ordinals

_BETWEEN = re.compile(r"\s+(?![^\[]*\])")
"""Space that is in no brackets."""
_BRACKETED = re.compile(r"""[^:"'\[]*\[""")
"""A bracket behind a name, and not in a value or in quotes."""
_JOINING = frozenset(["or", "|"])
"""Between names it is what a space is: both."""


class Written(Struct, frozen=True):
    """A name as it was written: `orders[2026-01-05]@2` is an asset, maybe partitions, maybe a version."""

    asset: str
    partitions: str
    version: str | None = None

    @property
    def name(self) -> str:
        """The name without the version."""
        return f"{self.asset}[{self.partitions}]" if self.partitions else self.asset


class Named(Struct, frozen=True):
    """An asset that is there, and the keys of the partitions that brackets behind it name; None without brackets."""

    asset: AssetKey
    partitions: tuple[str, ...] | None = None

    @property
    def slots(self) -> tuple[AssetKey, ...]:
        """The asset, or its partitions that are named."""
        return (self.asset,) if self.partitions is None else tuple(slot(self.asset, one) for one in self.partitions)


def words_of(selection: str | Iterable[str] | None) -> list[str]:
    """What space parts, outside of brackets."""
    texts = [selection] if isinstance(selection, str) else list(selection or ())
    return [word for text in texts for word in (_BETWEEN.split(text.strip()) if "[" in text else text.split())]


def written(word: str) -> Written:
    """The parts of a name.

    Raises:
        UsageError: a bracket is open at its end, or there is nothing in it.
    """
    start, end = word.find("["), word.rfind("]")
    if start < 0:
        asset, at, version = word.partition("@")
        return Written(asset, "", version if at else None)
    behind = word[end + 1 :]
    if end < start or behind[:1] not in ("", "@"):
        what = "has a bracket that is not closed" if end < start else f"has `{behind}` behind the bracket"
        raise UsageError(f"`{word}` {what}", fix=f'write "{word[:start]}[2026-01-05]", or a range: "[2026-01-05..]"')
    inside = word[start + 1 : end].strip()
    if not inside:
        raise UsageError(f"`{word}` names no partition", fix=f'all of them: "{word[:start]}[*]"')
    return Written(word[:start], inside, behind[1:] if behind else None)


def named(graph: AssetGraph, word: str, now: datetime | None = None) -> Named:
    """The asset, and those of its partitions existing at `now` (default: now), that a name without version means.

    Raises:
        NoSuchAsset: there is no such asset.
        UsageError: it has no such partitions, or none at all; or a version is named.
    """
    parts = written(word)
    if parts.version is not None:
        raise UsageError(f"`{word}` has a version, and none is taken here", fix=f"leave it out: {parts.name}")
    asset = graph.resolve(parts.asset)
    return Named(asset, _keys(graph, asset, parts.partitions, now) if parts.partitions else None)


def one_partition(graph: AssetGraph, asset: AssetKey, text: str) -> str:
    """The key of the one partition that brackets name, also of one that is there no more.

    Raises:
        NoSuchVersion: they name several, or the asset has no partitions.
    """
    definition = graph.specs[asset].partitions
    if definition is None:
        raise NoSuchVersion(f"{asset} has no partitions", fix=f"leave `[{text}]` out")
    try:
        definition.ordinal(text)
    except UsageError:
        try:
            found = list(definition.keys(definition.parse(text, datetime.now(UTC))))
        except UsageError:
            return text  # none of now: there may be versions of it all the same
        if len(found) > 1:
            what = f"`{asset}[{text}]` names {len(found)} partitions, and one is meant here"
            raise NoSuchVersion(what, fix=f'name one, such as "{asset}[{found[-1]}]"') from None
        return found[0]
    return text


def named_partitions(
    graph: AssetGraph, selection: str | Iterable[str] | None, now: datetime | None = None
) -> tuple[Named, ...]:
    """The partitions that are named, such as `orders[2026-01-05]` and `week[latest:7]`; none where assets are.

    Raises:
        NoSuchAsset: there is no such asset.
        UsageError: partitions and assets are named together, or there are no such partitions.
    """
    return tuple(named(graph, word, now) for word in bracketed(selection))


def bracketed(selection: str | Iterable[str] | None) -> list[str]:
    """The words of a selection when all have partitions in brackets, and none when no word has.

    Raises:
        UsageError: some have, and others not.
    """
    words = words_of(selection)
    found = [word for word in words if _BRACKETED.match(word)]
    if not found:
        return []
    if other := next((word for word in words if word not in found and word.lower() not in _JOINING), None):
        fix = f"do it one after the other: first {found[0]}"
        raise UsageError(f"`{other}` names assets, and {found[0]} partitions", fix=fix)
    return found


def apart(
    graph: AssetGraph, selection: str | Iterable[str] | None, partitions: str | None
) -> tuple[str | Iterable[str] | None, str | None]:
    """A selection with its brackets taken off, and what was in them as the partitions that `-p` would name.

    What has no brackets stays as it is.

    Raises:
        UsageError: partitions are named twice, different ones of several assets, partitions and assets together, or
            partitions of an asset without.
    """
    words = bracketed(selection)
    if not words:
        return selection, partitions
    parts = [_around(word) for word in words]
    if partitions is not None:
        fix = f"leave one of them out: {parts[0][0]} -p {partitions}"
        raise UsageError(f"`{words[0]}` and `-p {partitions}` both name partitions", fix=fix)
    for name, text in parts:
        for key in graph.named(name):
            if graph.specs[key].partitions is None:
                raise UsageError(f"{key} has no partitions", fix=f"leave `[{text}]` out")
    texts = dict.fromkeys(text for _, text in parts)
    if len(texts) > 1:
        other = next(word for word, (_, text) in zip(words, parts, strict=True) if text != parts[0][1])
        raise UsageError(
            f"`{words[0]}` and `{other}` name different partitions, which does not go together here",
            fix=f"do it one after the other: first {words[0]}",
        )
    return " ".join(expression for expression, _ in parts), parts[0][1]


def _around(word: str) -> tuple[str, str]:
    """What is around the brackets of `orders[2026-01-05]+`, and what is in them."""
    end = word.rfind("]") + 1
    walk = word[end:] if re.fullmatch(r"\+\d*", word[end:]) else ""
    parts = written(word.removesuffix(walk) if walk else word)
    if parts.version is not None:
        raise UsageError(f"`{word}` has a version, and a run makes none that is there", fix=f"write {parts.name}")
    return parts.asset + walk, parts.partitions


def _keys(graph: AssetGraph, asset: AssetKey, text: str, now: datetime | None) -> tuple[str, ...]:
    definition = graph.specs[asset].partitions
    if definition is None:
        raise UsageError(f"{asset} has no partitions", fix=f"leave `[{text}]` out")
    try:
        return tuple(definition.keys(definition.parse(text, now or datetime.now(UTC))))
    except UsageError as error:
        raise UsageError(f"{asset}: {error.what}", facts=error.facts, fix=error.fix) from error


def has_partitions(graph: AssetGraph, key: AssetKey) -> bool:
    """Whether it is an asset with partitions, and not one of these."""
    return key in graph.specs and graph.specs[key].partitions is not None


def with_partitions(graph: AssetGraph, keys: Iterable[AssetKey], names: Iterable[AssetKey]) -> list[AssetKey]:
    """The keys, with those of the slots `names` that are of it in the place of each asset with partitions."""
    parts: dict[AssetKey, list[AssetKey]] = {}
    for name in sorted(names):
        parts.setdefault(split_slot(name)[0], []).append(name)
    return [one for key in keys for one in (parts.get(key, ()) if has_partitions(graph, key) else (key,))]


def slots_named(graph: AssetGraph, names: Iterable[AssetKey], now: datetime | None = None) -> Slots:
    """The graph of these assets and partitions with all that they need; of an asset alone, all its partitions.

    The graph of a project without partitions is left as it is.
    """
    wanted: dict[AssetKey, list[str]] = {}
    for name in names:
        asset, partition = split_slot(name)
        wanted.setdefault(asset, []).extend([partition] if partition else [])
    if all(spec.partitions is None for spec in graph.specs.values()):
        return Slots(graph, tuple(wanted))
    from assetflow.plan.slots import slots_of

    def chosen(key: AssetKey, definition: Definition, existing: Ordinals) -> Ordinals:
        return definition.ordinals(wanted[key]) if wanted[key] else existing

    return slots_of(graph, tuple(wanted), chosen, now or datetime.now(UTC))
