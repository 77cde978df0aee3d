"""What is defined otherwise than in another environment, or than a run had it: the definitions alone, not the data.

Partitions share the definition of their asset, but were made at different times, and so perhaps with different ones of
it. The asset is held against the one that was used last, whatever older partitions still wait for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from assetflow.catalog.made import Made
from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Head, TraceInput
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.staleness import Reason, local_reasons

_NOT_OF_THE_DEFINITION = ("data_missing", "forced", "expired", "invalidated", "discovered_file", "discovered_code")


class Parts(Struct, frozen=True):
    """The partitions of an asset that are there, and with how many definitions they were made.

    `count` is of all, `newest` of those made with the definition that was used last, `alike` of those made with the one
    that the asset has here.
    """

    count: int
    newest: int
    alike: int
    definitions: int

    @property
    def words(self) -> str:
        """What is to be said where they were made with several definitions, else nothing."""
        if self.definitions < 2:
            return ""
        same = f"; {self.alike:,} as here" if self.alike and self.alike != self.newest else ""
        made = f"made with {self.definitions} definitions there, {self.newest:,} of {self.count:,} with the newest"
        return f"partitions {made}{same}"

    def to_json(self) -> dict[str, object]:
        """The counts as JSON-able values."""
        return {
            "count": self.count, "newest": self.newest, "alike": self.alike, "definitions": self.definitions,
        }  # fmt: skip


class Other(Struct, frozen=True):
    """One asset that is defined otherwise there. change: `changed`, `added` (only here) or `removed` (only there).

    `parts` are the partitions that it has there; then it has no `version`, because each of them has its own.
    """

    asset: AssetKey
    change: str
    version: int | None
    reasons: tuple[Reason, ...] = ()
    parts: Parts | None = None

    @property
    def words(self) -> str:
        """Why, as a phrase."""
        of_parts = "" if self.parts is None else self.parts.words
        return "; ".join([*(reason.text for reason in self.reasons), *([of_parts] if of_parts else [])])

    def to_json(self) -> dict[str, object]:
        """The difference as JSON-able values."""
        return {
            "asset": self.asset, "change": self.change, "version": self.version,
            "reasons": [reason.to_json() for reason in self.reasons],
            "partitions": None if self.parts is None else self.parts.to_json(),
        }  # fmt: skip


class Against(Struct, frozen=True):
    """The assets whose definitions differ from those that `name` (`env prod`, `run #41`) has, and how many do not.

    `mixed` are those of the same definition of which older partitions there were made with another one.
    """

    name: str
    others: tuple[Other, ...]
    same: int
    mixed: Mapping[AssetKey, Parts]

    def to_json(self) -> dict[str, object]:
        """The comparison as JSON-able values."""
        return {
            "against": self.name, "items": [one.to_json() for one in self.others], "same": self.same,
            "mixed": [{"asset": key, "partitions": parts.to_json()} for key, parts in self.mixed.items()],
        }  # fmt: skip


def against(
    name: str,
    specs: Iterable[AssetSpec],
    partitioned: Collection[AssetKey],
    there: Mapping[AssetKey, Sequence[Made]],
    *,
    with_new: bool = True,
    with_gone: bool = True,
) -> Against:
    """These assets held against what is `there`.

    `partitioned` are all assets that have partitions here. `with_new`: what is not there is new; `with_gone`: what is
    there and none of `specs` is gone.
    """
    others: list[Other] = []
    mixed: dict[AssetKey, Parts] = {}
    same = 0
    known: set[AssetKey] = set()
    for spec in specs:
        known.add(spec.key)
        made = there.get(spec.key, ())
        if not made:
            others += [Other(spec.key, "added", None)] if with_new else []
            continue
        # What an asset was before it had partitions, or had none any more, is still there; it is not what it is now.
        alike = [one for one in made if bool(one.newest.trace.partition) == (spec.partitions is not None)] or made
        reasons = [_reasons(spec, one.newest, partitioned) for one in alike]
        parts = _parts(alike, reasons)
        if reasons[0]:
            number = alike[0].newest.version.number if parts is None else None
            others.append(Other(spec.key, "changed", number, reasons[0], parts))
        else:
            same += 1
            if parts is not None and parts.definitions > 1:
                mixed[spec.key] = parts
    if with_gone:
        gone = sorted(key for key, made in there.items() if key not in known and made[0].newest.version.io != "source")
        others += [_removed(key, there[key]) for key in gone]
    return Against(name, tuple(others), same, mixed)


def _removed(key: AssetKey, made: Sequence[Made]) -> Other:
    parts = _parts(made, [()] * len(made))
    return Other(key, "removed", made[0].newest.version.number if parts is None else None, (), parts)


def _parts(made: Sequence[Made], reasons: Sequence[tuple[Reason, ...]]) -> Parts | None:
    """The counts of what has partitions; None for what has none. Definitions are one where nothing tells them apart."""
    if not made[0].newest.trace.partition:
        return None
    meant: list[object] = []
    for one, why in zip(made, reasons, strict=True):
        trace = one.newest.trace
        code = trace.code if trace.code_version is None else f"declared:{trace.code_version}"
        texts = [*map(sorted, (trace.config.items(), trace.files.items(), trace.env_vars.items()))]
        meant.append((code, texts, [reason.text for reason in why]) if why else None)
    newest = sum(one.count for one, what in zip(made, meant, strict=True) if what == meant[0])
    same = sum(one.count for one, why in zip(made, reasons, strict=True) if not why)
    distinct = sum(what not in meant[:place] for place, what in enumerate(meant))
    return Parts(sum(one.count for one in made), newest, same, distinct)


def _reasons(spec: AssetSpec, head: Head, partitioned: Collection[AssetKey]) -> tuple[Reason, ...]:
    """What of a definition differs from the one that a head was made with, whichever partition the head is of."""
    trace = head.trace
    if bool(trace.partition) != (spec.partitions is not None):
        text = "has no partitions here, and had there" if trace.partition else "has partitions here, and had none there"
        return (Reason("code_changed", text),)
    read = {(one.parameter, split_slot(one.upstream)[0]): one for one in trace.inputs}
    parameters = {parameter for parameter, _ in read}
    inputs = {
        (one.parameter, one.upstream): one
        for one in spec.inputs
        if one.parameter in parameters or not _may_be_unread(spec, one, partitioned)
    }
    told = replace(
        head, trace=replace(trace, inputs=tuple(_whole(one, asset) for (_, asset), one in read.items()))
    )  # fmt: skip
    found = local_reasons(replace(spec, inputs=tuple(inputs.values())), told, is_forced=False, is_lost=False)
    reasons = tuple(one for one in found if one.code not in _NOT_OF_THE_DEFINITION)
    if not reasons and spec.partitions is not None and trace.partition:
        try:
            spec.partitions.ordinals([trace.partition])
        except UsageError:
            return (Reason("code_changed", f"its partitions are others: {trace.partition} is none of them"),)
    return reasons


def _may_be_unread(spec: AssetSpec, given: InputSpec, partitioned: Collection[AssetKey]) -> bool:
    """Whether a partition may have read nothing by it: the first of an asset has none before it, nor others above."""
    return given.optional or (spec.partitions is not None and given.upstream in partitioned)


def _whole(read: TraceInput, asset: AssetKey) -> TraceInput:
    return replace(read, upstream=asset)
