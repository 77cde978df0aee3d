"""Explaining: from an asset to the root causes of what would be done with it, and the smallest evidence of each."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.errors import NoSuchVersion
from assetflow.load.settings import Settings
from assetflow.model.code import CodeSource
from assetflow.model.keys import AssetKey, arguments_of, split_slot
from assetflow.model.records import Head
from assetflow.plan.graph import AssetGraph
from assetflow.plan.named import apart, written
from assetflow.plan.planner import Plan
from assetflow.plan.staleness import Action

if TYPE_CHECKING:
    from assetflow.explaining.against import Against
    from assetflow.explaining.answer import Why, WhyNot
    from assetflow.explaining.evidence import Library
    from assetflow.io.diff_results import TableDiff, ValueDiff
    from assetflow.model.versions import VersionName
    from assetflow.views import HistoryEntry, Status


class Explaining:
    """The verb of a project that says why. It decides nothing: the plan has, and this looks up the evidence."""

    settings: Settings
    graph: AssetGraph

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def _code_texts(self) -> Mapping[str, CodeSource]:
        raise NotImplementedError

    def _split(self, key: str) -> tuple[AssetKey, VersionName | None]:
        raise NotImplementedError

    def select(self, expression: str | Iterable[str] | None = None) -> tuple[AssetKey, ...]:
        """The assets that a selection names."""
        raise NotImplementedError

    def plan(self, expression: str | Iterable[str] | None = None, *, partitions: str | None = None) -> Plan:
        """What `materialize` would do."""
        raise NotImplementedError

    def _planned(
        self, expression: str | Iterable[str] | None, partitions: str | None, *, force: bool = False,
        rebuild: bool = False, with_upstream: bool = True, shows_newest: bool = False, in_bulk: bool = True,
        in_crowds: bool = False,
    ) -> Plan:  # fmt: skip
        raise NotImplementedError

    def status(self, expression: str | Iterable[str] | None = None, *, now: float | None = None) -> Status:
        """Content and freshness of the selected assets."""
        raise NotImplementedError

    def history(self, key: str, limit: int = 20) -> tuple[HistoryEntry, ...]:
        """How the head of an asset moved."""
        raise NotImplementedError

    def diff(
        self, old: str, new: str | None = None, *, limit: int = 20, columns: Iterable[str] | None = None
    ) -> TableDiff | ValueDiff:
        """How two versions differ."""
        raise NotImplementedError

    # -- explaining

    def why(self, key: str, *, against: str | None = None, now: float | None = None) -> Why:
        """Why an asset would run, or would not: the root causes, each with the evidence, and the way from it.

        Code is shown as the lines that changed, an input as the columns and rows that changed. With `against` the
        current version is compared with another one (`"orders@3"`, `"3"`, `"HEAD~1"`, `"run:41"`, `"prod"`) instead of
        with what is there now. An asset that is late also says by how much at `now` (UTC seconds; default: the time of
        the call), and what makes it so.

        Raises:
            NoSuchAsset: there is no such asset.
            NoSuchVersion: there is no such version to compare with.
        """
        from assetflow.explaining.explain import compared, explained

        found, named = self._split(key)
        if against is None and named is None:
            asset, partition = split_slot(found)
            is_whole = not partition
            plan = self._planned(asset, partition or None, shows_newest=is_whole, in_bulk=is_whole, in_crowds=is_whole)
            late = None if self.graph.specs[asset].freshness is None else self.status(asset, now=now)[asset]
            with self._catalog() as catalog:
                last = None if partition else next(iter(self.history(asset, 1)), None)
                return explained(plan, _shown(plan, found), self._library(catalog), last, late)
        other = (written(key).version or "") if against is None else against.removeprefix(f"{found}@")
        _, name = self._split(f"{found}@{other}")
        with self._catalog() as catalog:
            return compared(found, self._current(catalog, found), name, self._library(catalog), self.settings.env)

    def why_not(self, key: str, *, now: float | None = None) -> WhyNot:
        """Why an asset, or `"visits[2026-01-05]"`, did not run in the last run, or that it did.

        It was current, pinned, blocked, or not asked for.

        Its `conditions` say what could run it by itself at `now` (UTC seconds; default: the time of the call): its
        `auto` policy, the jobs that select it, the daemon; each with what it rests on.

        Raises:
            NoSuchAsset: there is no such asset.
            NoSuchVersion: several partitions are named, or the asset has none.
            UsageError: there is no such partition.
        """
        from datetime import UTC, datetime

        from assetflow.explaining.notrun import why_not
        from assetflow.explaining.truth import truth_table
        from assetflow.run.requests import read_request

        name, _ = self._split(written(key).name)
        asset, partition = split_slot(name)
        spec = self.graph.specs[asset]
        if partition and spec.partitions is not None:
            spec.partitions.parse(partition, datetime.now(UTC))

        def partitions(run_id: int) -> str | None:
            asked = read_request(self.settings.state_path / "runs" / str(run_id))
            return None if asked is None else asked.partitions

        with self._catalog() as catalog:
            found = why_not(name, self.settings.env, catalog, self.graph, self.select, partitions)
        if spec.is_source:
            return found
        at = time.time() if now is None else now

        def plan() -> Plan:
            return self._planned(None, None)  # with a step for each partition

        table = truth_table(self.settings, spec, self.graph, plan, self.select, at, partition)
        return replace(found, conditions=table)

    def against(self, name: str, expression: str | Iterable[str] | None = None) -> Against:
        """Which assets of a selection (default: all) are defined otherwise than in an environment, or in a run.

        `name` is an environment, or a run as `41` or `run:41`. Code, config, declared files and variables, packages and
        what an asset reads are compared, not its data. Of an environment also assets are told that are only there. An
        asset with partitions is one: what its partition that was made last was made with is compared, and of the others
        is told how many were made with something else.

        Raises:
            UsageError: there is no such environment, and no such run; or partitions are named.
        """
        from assetflow.catalog.keeping import Keeping
        from assetflow.catalog.made import made_by_run, made_in
        from assetflow.errors import UsageError, did_you_mean
        from assetflow.explaining.against import against
        from assetflow.run.declared import DeclaredNow
        from assetflow.run.survey import Remembered

        if apart(self.graph, expression, None)[1] is not None:
            raise UsageError("definitions are those of whole assets", fix="leave the brackets out")
        number = name.removeprefix("run:")
        with self._catalog() as catalog:
            declared = DeclaredNow(self.settings.root, self.settings.catalog_path, Remembered(catalog), time.time_ns())
            chosen = [self.graph.specs[key] for key in self.select(expression)]
            looked = {spec.key: spec for spec in declared.look(chosen)}
            specs = [looked.get(spec.key, spec) for spec in chosen if not spec.is_source]
            partitioned = {key for key, spec in self.graph.specs.items() if spec.partitions is not None}
            if number.isdecimal():
                run = catalog.run(int(number))
                if run is None:
                    raise UsageError(f"there is no run #{number}", fix="assetflow runs")
                there = made_by_run(catalog, run.run_id, run.env)
                return against(f"run #{number}", specs, partitioned, there, with_new=False, with_gone=False)
            known = Keeping(catalog.database).environments()
            if name not in known:
                fix = did_you_mean(name, known) or f"environments: {', '.join(known) or 'none yet'}; or a run: run:41"
                raise UsageError(f"nothing is recorded of an environment `{name}`", fix=fix)
            return against(f"env {name}", specs, partitioned, made_in(catalog, name), with_gone=expression is None)

    def _library(self, catalog: Catalog) -> Library:
        from assetflow.explaining.evidence import Library

        return Library(self.settings.root, self.graph, catalog, self._code_texts(), self.diff)

    def _current(self, catalog: Catalog, key: AssetKey) -> Head:
        asset, partition = split_slot(key)
        if not partition and self.graph.specs[asset].partitions is not None:
            what = f"{asset} has partitions, and each has versions of its own"
            raise NoSuchVersion(what, fix=f'name one: assetflow why "{asset}[latest]" --against HEAD~1')
        head = catalog.heads(self.settings.env, [(asset, partition)]).get((asset, partition))
        if head is None:
            fix = f"assetflow materialize {shlex.join(arguments_of(key))}"
            raise NoSuchVersion(f"{key} has not been materialized", fix=fix)
        return head


def _shown(plan: Plan, name: AssetKey) -> AssetKey:
    """The slot to explain: itself, or of an asset with partitions the first that is not current, else the newest.

    Raises:
        NoSuchVersion: it has no partition yet.
    """
    if name in plan.steps:
        return name
    slots = [key for key, step in plan.steps.items() if split_slot(key)[0] == name and step.crowd is None]
    slots = slots or [key for key in plan.steps if split_slot(key)[0] == name]
    if not slots:
        raise NoSuchVersion(f"{name} has no partition yet", fix="assetflow plan")
    return next((key for key in slots if plan.steps[key].action is not Action.CURRENT), slots[-1])
