"""The graph that a verb works on: asset partitions in the place of assets, without those known to be current."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from assetflow.catalog.catalog import Catalog
from assetflow.errors import UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.code import CodeSource
from assetflow.model.keys import AssetKey
from assetflow.model.records import Discovered
from assetflow.model.spec import InputSpec
from assetflow.plan.graph import AssetGraph, Slots
from assetflow.plan.planner import make_plan
from assetflow.plan.staleness import STAYS, Content, digest_of
from assetflow.run.declared import DeclaredNow
from assetflow.run.seen import CodeNow, FilesNow
from assetflow.run.survey import Remembered, Survey, survey

if TYPE_CHECKING:  # most projects have no partitions, and load nothing of them
    from assetflow.catalog.slots import SlotTotals
    from assetflow.load.live import Loaded
    from assetflow.partitions.ordinals import Ordinals
    from assetflow.run.settled import Settled


class Arranged(Struct, frozen=True):
    """The slots of a verb, what was found of the current partitions, and the sums of those (only when asked for)."""

    slots: Slots
    settled: Settled | None = None
    totals: Mapping[AssetKey, SlotTotals] | None = None


class Arranging(Struct):
    """How the assets of a project become the slots of a verb. `load` gives the live project, if that may be asked.

    `looked` is what was seen of the sources above partitions: what they were asked then, a verb does not ask again.
    Which partitions exist is a matter of `now`, else of the clock.
    """

    settings: Settings
    storage: Storage
    code: Mapping[str, CodeSource]
    load: Callable[[], Loaded] | None
    looked: Survey | None = None
    now: float | None = None

    def __call__(  # noqa: PLR0913 - what may be asked of a plan
        self,
        graph: AssetGraph,
        targets: tuple[AssetKey, ...],
        partitions: str | None,
        catalog: Catalog,
        *,
        force: bool = False,
        rebuild: bool = False,
        shows_newest: bool = False,
        in_bulk: bool = True,
        in_crowds: bool = False,
    ) -> Arranged:
        """The slots of these targets; of an asset with partitions all that exist, or those that a user's text names.

        Nothing is told in bulk of what is forced. With `rebuild` edits of the targets are for all partitions.
        With `shows_newest` the newest partition of each asset has a slot though it is current. Unless `in_bulk`, all
        have. `in_crowds`: many that stand alike have one together.

        Raises:
            UsageError: there are no such partitions.
        """
        if all(spec.partitions is None for spec in graph.specs.values()):
            if partitions is not None:
                raise UsageError("no asset of this project has partitions", fix="leave -p out")
            return Arranged(Slots(graph, targets))
        from assetflow.catalog.slots import SlotRows
        from assetflow.plan.slots import asked_for, names_state, narrowed, of_each, slots_of
        from assetflow.plan.undecided import rebuilding

        graph = rebuilding(graph, targets) if rebuild else graph
        now = datetime.now(UTC) if self.now is None else datetime.fromtimestamp(self.now, UTC)
        is_plain = partitions is None or of_each(partitions) is not None
        chosen = targets if is_plain else narrowed(graph, targets)
        if not in_bulk:
            return Arranged(slots_of(graph, chosen, asked_for(partitions, now), now))
        found, rows = (
            self._settled(graph, now, catalog, in_crowds=in_crowds and not force),
            SlotRows(catalog.database, self.settings.env),
        )
        so = found.in_state(partitions or "", rows) if names_state(partitions) else {}
        wanted = asked_for(partitions, now, so)
        totals = found.totals(rows) if shows_newest else None
        shown = {} if totals is None else _newest(graph, totals, found)
        told = {key: own for key, own in found.found.items() if not (force and key in targets)}
        return Arranged(slots_of(graph, chosen, wanted, now, told, shown, found.crowds), found, totals)

    def note_anew(self, graph: AssetGraph, catalog: Catalog) -> None:
        """Note in the catalog which partitions of a graph are current, if much has moved since that was noted there.

        Every look notes it in the cache folder, which comes and goes.
        """
        from assetflow.catalog.slots import SlotRows
        from assetflow.plan.slots import sides_of
        from assetflow.run.settled import has_much_moved

        now = datetime.now(UTC) if self.now is None else datetime.fromtimestamp(self.now, UTC)
        rows = SlotRows(catalog.database, self.settings.env)
        if has_much_moved(rows, sides_of(graph, now)):
            found = self._settled(graph, now, catalog, in_crowds=False)
            found.totals(rows)
            with closing(Catalog(self.settings.catalog_path, write=True)) as writer:
                SlotRows(writer.database, self.settings.env).put_note(found.remember())

    def _settled(self, graph: AssetGraph, now: datetime, catalog: Catalog, *, in_crowds: bool) -> Settled:
        from assetflow.plan.slots import sides_of
        from assetflow.run.settled import Settling

        remembered = Remembered(catalog)
        declared = DeclaredNow(self.settings.root, self.settings.catalog_path, remembered, time.time_ns())
        graph = graph.having(declared.look(spec for spec in graph.specs.values() if spec.partitions is not None))
        contents = self._contents(graph, catalog)
        cache = self.settings.root / ".assetflow" / "cache" / f"partitions-{self.settings.env}.json"
        sides = sides_of(graph, now)
        files = FilesNow(self.settings.root, remembered, time.time_ns())
        seen = Discovered(files, CodeNow(self.settings.root)) if self.settings.discover else None
        found = Settling(graph, sides, catalog, self.storage, self.settings.env, contents, cache, seen).look(
            in_crowds=in_crowds
        )
        found.rehashed = files.rehashed
        return found

    def _contents(self, graph: AssetGraph, catalog: Catalog) -> Callable[[AssetKey, InputSpec], str | None]:
        """What assets without partitions hold that those with some read, as far as it is as it stays."""
        below: set[AssetKey] = set()
        for key in graph.order:
            if graph.specs[key].partitions is not None or any(up in below for up in graph.upstream(key)):
                below.add(key)
        read = [up for key in below for up in graph.upstream(key) if up not in below]
        if not read:
            return lambda key, given: None
        inside = graph.walk(read, up=True)
        part = AssetGraph(spec for key, spec in graph.specs.items() if key in inside)
        self.looked = self.survey(part, catalog)
        steps = make_plan(self.looked.world, part.order).steps

        def content(key: AssetKey, given: InputSpec) -> str | None:
            step = steps.get(key)
            if step is None or step.action not in STAYS:
                return None
            if step.spec.is_source:
                return step.token or None
            return None if step.head is None else digest_of(given, Content.of(step.head.version))

        return content

    def survey(self, graph: AssetGraph | Slots, catalog: Catalog) -> Survey:
        """The world of a graph, as the verb sees it."""
        return survey(
            graph, self.settings.env, catalog, self.storage, self.load, self.looked, root=self.settings.root,
            code=self.code, discover=self.settings.discover,
        )  # fmt: skip


def _newest(graph: AssetGraph, totals: Mapping[AssetKey, SlotTotals], found: Settled) -> dict[AssetKey, Ordinals]:
    """The partitions of each asset that stand for all that are settled: the highest, and the one that was made last.

    The first is what an asset is as fresh as, whichever partition was made again since.
    """
    from assetflow.partitions.ordinals import EMPTY

    shown: dict[AssetKey, Ordinals] = {}
    for key, settled in found.found.items():
        definition = graph.specs[key].partitions
        if not settled or definition is None:
            continue
        newest = settled.newest(1)
        if key in totals:
            try:
                made = definition.ordinals([totals[key].newest])
            except UsageError:
                made = EMPTY  # of an earlier definition
            newest |= made & settled
        shown[key] = newest
    return shown
