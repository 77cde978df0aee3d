"""A project loaded from its modules, or from values in memory: specs, functions, and all problems at once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.errors import (
    Cycle,
    DefinitionError,
    ImportFailed,
    Location,
    ProjectLoadError,
    UnknownParameter,
    UsageError,
)
from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.automation import auto_problems, live_automation
from assetflow.load.beside import indexing_beside
from assetflow.load.binding import function_place
from assetflow.load.collect import Collected, collect, definitions_in
from assetflow.load.fingerprints import (
    fingerprinter_of,
    read_indexes,
    sharing_hooks,
    sharing_sources,
    with_code,
    write_indexes,
)
from assetflow.load.hooks import live_hooks, with_assets
from assetflow.load.live import LiveAutomation, LiveCall, LiveCheck, LiveHook, LiveNode, Loaded
from assetflow.load.modules import Imported, import_project
from assetflow.load.partitioned import partition_problems
from assetflow.load.resolve import NotDeclared, Project, Resolver
from assetflow.load.settings import Settings
from assetflow.load.texts import earlier_sources
from assetflow.load.values import resource_tables
from assetflow.model.declare import SourceDefinition
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.graph import find_cycle, is_own_past

if TYPE_CHECKING:
    from assetflow.model.settings import Resource

Overrides = Mapping[str, Mapping[str, object]]

_FROM_MISSING_MODULES = (UnknownParameter, NotDeclared)
"""Problems that go away by themselves when a module that failed to import declares what they miss."""


def load_project(settings: Settings, config_overrides: Overrides | None = None) -> Loaded:
    """The project with its functions, imported afresh.

    Args:
        settings: see `read_settings`.
        config_overrides: values for `Config` fields by asset key, over those of the project file (`--set`).

    Raises:
        ProjectLoadError: with everything that is wrong, in the order of files and lines.
    """
    known = read_indexes(settings)
    with indexing_beside(settings.root, () if known else settings.modules) as beside:
        imported = import_project(settings.root, settings.modules, settings.state_path / "cache")
        indexes = {**known, **beside.rows()}
    files = ProjectFiles(imported.files.roots, {path: one.content for path, one in imported.sources.items()}, indexes)
    project = Project(settings, files, collect(imported.modules), problems=list(imported.problems))
    if not project.declared and not project.problems:
        modules = ", ".join(f"`{name}`" for name in settings.modules)
        fix = "decorate a function with @asset, or set `modules` in the project file"
        project.problems.append(DefinitionError(f"no assets were found in {modules}", fix=fix))
    Resolver(project, config_overrides or {}).resolve()
    hooks = live_hooks(imported.modules, files, project.problems)
    automation = live_automation(imported.modules, files, settings, project.problems)
    given = None if imported.problems else settings  # a table's class may be in a module that failed
    resources = resource_tables(given, _resource_classes(project, imported, hooks, automation), project.problems)
    specs = _with_check_inputs(project)
    _report_cycles(project, specs)
    if not project.problems:
        project.problems += partition_problems(specs, project.nodes, project.settings)
        project.problems += auto_problems(specs)
    chosen = () if project.problems else with_assets(hooks, specs, settings, project.problems)
    _raise_problems(project.problems)
    fingerprinter = fingerprinter_of(files, earlier_sources(settings) if known else {})
    fingerprinted, texts, nodes = with_code(specs, project.nodes, project.sources, fingerprinter)
    chosen = sharing_hooks(chosen, fingerprinter)
    write_indexes(settings, files, known)
    # A module that only a function imports was not imported now, but the fingerprints followed it.
    imported.reads.files |= files.read_files()
    names = tuple(sorted(files.relative(path) for path in imported.sources))
    return Loaded(
        fingerprinted, nodes, project.sources, resources, names, imported=imported, code_sources=texts,
        hooks=chosen, automation=automation, sharing=sharing_sources(project.sources, fingerprinter),
    )  # fmt: skip


def load_definitions(
    values: Iterable[object], given: Iterable[str] = (), config_overrides: Overrides | None = None
) -> Loaded:
    """Decorated functions, checks and sources as they are, without a project: for `assetflow.materialize` in memory.

    Args:
        values: decorated functions and sources, also in lists or dicts.
        given: names whose values the caller brings; what takes them needs no declaration of them.
        config_overrides: fields of asset configs by asset key.

    Raises:
        UsageError: a value is neither a decorated function nor a source.
        ProjectLoadError: with everything that does not fit together.
    """
    __tracebackhide__ = True  # pytest then shows the caller's line, not this room
    declared: dict[int, Collected] = {}
    for value in values:
        found = list(definitions_in(value))
        if not found:
            raise UsageError(
                f"{value!r} is not an asset",
                fix="give functions decorated with @asset, @assets or @check, and sources",
            )
        for definition in found:
            module = getattr(getattr(definition, "function", None), "__module__", None) or "main"
            declared.setdefault(id(definition), Collected(definition, module))
    keys = {out.key for one in declared.values() for out in getattr(one.definition, "outputs", ())}
    keys |= {one.definition.key for one in declared.values() if isinstance(one.definition, SourceDefinition)}
    names = frozenset(given)
    project = Project(None, ProjectFiles([]), list(declared.values()), given=names - keys)
    Resolver(project, config_overrides or {}).resolve()
    resources = resource_tables(None, _resource_classes(project, None), project.problems)
    specs = _with_check_inputs(project)
    _report_cycles(project, specs)
    if (one := next((spec for spec in specs if spec.partitions is not None), None)) is not None:
        raise UsageError(
            f"{one.key} has partitions, which belong to a project",
            fix=f'call the function itself: {one.key}(..., Partition("2026-01-05"))',
        )
    _raise_problems(project.problems)
    outside = [_given_spec(name) for name in sorted(names - keys)]
    return Loaded((*outside, *specs), project.nodes, project.sources, resources, given=frozenset(map(AssetKey, names)))


def _given_spec(name: str) -> AssetSpec:
    """The spec of a value that the caller brings along, so that the graph has something to point at."""
    return AssetSpec(
        key=AssetKey(name), kind="source", node=name, inputs=(), group="given", owners=(), tags={},
        description="given by the caller", io="", file="", line=0,
    )  # fmt: skip


def _resource_classes(
    project: Project,
    imported: Imported | None,
    hooks: Iterable[tuple[LiveHook, object]] = (),
    automation: LiveAutomation | None = None,
) -> list[type[Resource]]:
    """The resource classes that parameters take, and those that the project's modules contain."""
    library = sys.modules.get("assetflow.model.settings")
    found: dict[type[Resource], None] = {}
    takers: list[LiveNode | LiveCheck | LiveHook | LiveCall] = [
        *project.nodes.values(), *(hook for hook, _ in hooks), *(automation.calls.values() if automation else ()),
    ]  # fmt: skip
    takers += [check for node in project.nodes.values() for one in node.outputs for check in one.custom_checks]
    for binding in (binding for taker in takers for binding in taker.bindings):
        if binding.resource_class is not None:
            found[binding.resource_class] = None
    for module in imported.modules.values() if imported is not None and library is not None else ():
        for value in list(vars(module).values()):
            base = None if library is None else library.Resource
            if base is not None and isinstance(value, type) and issubclass(value, base) and value is not base:
                found[value] = None
    return list(found)


def _with_check_inputs(project: Project) -> list[AssetSpec]:
    """The specs, with an `order` input for each asset that checks read, unless that would close a circle.

    Checks of an asset run when it is built, so what they read should be built first. Where that cannot be (a check of
    `orders` against `summary`, which is made of `orders`), the check reads what is there.
    """
    by_key = {spec.key: spec for spec in project.specs}
    node_of = {key: spec.node for key, spec in by_key.items()}
    above: dict[str, set[str]] = {}
    for spec in project.specs:
        mine = above.setdefault(spec.node, set())
        mine.update(node_of[one.upstream] for one in spec.inputs if one.upstream in node_of)
    for key, other in dict.fromkeys(project.check_needs):
        spec, needed = by_key.get(AssetKey(key)), by_key.get(AssetKey(other))
        if spec is None or needed is None or any(one.upstream == other for one in spec.inputs):
            continue
        if not _reaches(needed.node, spec.node, above):
            by_key[spec.key] = replace(spec, inputs=(*spec.inputs, InputSpec("", needed.key, "order")))
            above[spec.node].add(needed.node)
    return list(by_key.values())


def _reaches(start: str, goal: str, above: Mapping[str, set[str]]) -> bool:
    seen = {start}
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node == goal:
            return True
        fresh = above.get(node, set()) - seen
        seen |= fresh
        waiting.extend(fresh)
    return False


def _report_cycles(project: Project, specs: Iterable[AssetSpec]) -> None:
    """One problem for each circle; circles that share an asset with one that is reported wait until that is solved."""
    by_key = {spec.key: spec for spec in specs}
    edges: dict[str, list[str]] = {
        key: [str(one.upstream) for one in spec.inputs if not is_own_past(one, spec, by_key)]
        for key, spec in by_key.items()
    }
    while (circle := find_cycle(edges)) is not None:
        facts: list[str] = []
        for taker, taken in pairwise(circle):
            spec = by_key[AssetKey(taker)]
            facts.append(f"{taker} ({spec.file}:{spec.line}) takes `{taken}`")
        first = by_key[AssetKey(circle[0])]
        alone = len(circle) == 2
        parameter = next((one.parameter for one in first.inputs if one.upstream == circle[1]), "")
        node = project.nodes[first.node]
        where = function_place(node.function, project.files, parameter) if parameter else None
        project.problems.append(
            Cycle(
                f"asset `{circle[0]}` takes itself"
                if alone
                else f"these assets form a cycle: {' → '.join(reversed(circle))}",
                facts=() if alone else facts,
                fix="rename the parameter, or the asset, so that it reads something else"
                if alone
                else "take one of these inputs away, or split an asset so that data flows one way only",
                where=where or Location(first.file, first.line),
            )
        )
        for key in circle:
            edges.pop(key, None)


def _raise_problems(problems: list[DefinitionError]) -> None:
    """Raise what is wrong. What may follow from a module that did not import is counted, not listed.

    Raises:
        ProjectLoadError: there are problems.
    """
    __tracebackhide__ = True
    if not problems:
        return
    failed = [one for one in problems if isinstance(one, ImportFailed)]
    if failed:
        others = [one for one in problems if not isinstance(one, ImportFailed)]
        kept = [one for one in others if not isinstance(one, _FROM_MISSING_MODULES)]
        hidden = len(others) - len(kept)
        if hidden:
            last = failed[-1]
            some = f"{hidden} more problem{'s' if hidden > 1 else ''} may follow from this and will be checked after it"
            told = ImportFailed(last.what, facts=(*last.facts, some), fix=last.fix, where=last.where)
            failed[-1] = told
        problems = [*failed, *kept]
    raise ProjectLoadError(sorted(problems, key=_order))


def _order(problem: DefinitionError) -> tuple[bool, str, int, int, str]:
    """Modules that did not import first, then by place; what has no place comes before what has one."""
    where = problem.where or Location("", 0)
    return (not isinstance(problem, ImportFailed), where.file, where.line, where.column, problem.what)
