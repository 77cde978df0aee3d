"""From `@on` to hooks that can be called: event names, selections and parameters looked up, all problems kept."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, cast

from assetflow.errors import AssetflowError, BadDeclaration, DefinitionError, Location, near_names
from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.binding import (
    Taker,
    annotations_of,
    check_signature,
    function_place,
    inner_function,
    with_default,
    without_none,
)
from assetflow.load.live import Binding, LiveHook
from assetflow.model.declare import definition_of
from assetflow.model.hooks import EVENTS, PATTERNS, Event, HookDefinition, hooks_of, names_in
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph

if TYPE_CHECKING:
    from assetflow.load.settings import Settings
    from assetflow.plan.selection import Selection

_EVENT_TEXTS = ("Event", "af.Event", "assetflow.Event")


def live_hooks(
    modules: Mapping[str, ModuleType], files: ProjectFiles, problems: list[DefinitionError]
) -> list[tuple[LiveHook, Selection | None]]:
    """The hooks in the attributes of the modules, with their selections as they were read.

    What does not fit goes to `problems`.
    """
    found: dict[int, HookDefinition] = {}
    for module in modules.values():
        for value in list(vars(module).values()):
            for hook in hooks_of(value):
                found.setdefault(id(hook), hook)
    return [_live(hook, files, problems) for hook in found.values()]


def with_assets(
    hooks: Iterable[tuple[LiveHook, Selection | None]],
    specs: Iterable[AssetSpec],
    settings: Settings | None,
    problems: list[DefinitionError],
) -> tuple[LiveHook, ...]:
    """The hooks with the assets that their selections mean. Only call this for specs without problems."""
    chosen: list[LiveHook] = []
    graph: AssetGraph | None = None
    for hook, selection in hooks:
        if selection is None:
            chosen.append(hook)
            continue
        from assetflow.load.audience import DeclaredFacts

        graph = AssetGraph(tuple(specs)) if graph is None else graph
        facts = DeclaredFacts({} if settings is None else settings.selections)
        try:
            chosen.append(hook.of(frozenset(selection.select(graph, facts))))
        except AssetflowError as error:
            problems.append(_about_selection(hook, error))
    return tuple(chosen)


def _about_selection(hook: LiveHook, error: AssetflowError) -> BadDeclaration:
    what = f"hook `{hook.name}`: select= does not fit: {error.what}"
    return BadDeclaration(what, facts=error.facts, fix=error.fix, where=Location(hook.file, hook.line))


def _live(
    hook: HookDefinition, files: ProjectFiles, problems: list[DefinitionError]
) -> tuple[LiveHook, Selection | None]:
    where = function_place(hook.function, files)
    name = getattr(hook.function, "__name__", "hook")
    label = f"hook `{name}`"
    if definition_of(hook.function) is not None:
        what = f"{label} is an asset or a check as well, and a hook makes nothing"
        problems.append(BadDeclaration(what, fix="write two functions", where=where))
    events: set[str] = set()
    for written in hook.events:
        if not names_in(written):
            near = near_names(written, (*EVENTS, *PATTERNS), 1)
            problems.append(
                BadDeclaration(
                    f"{label}: there is no event `{written}`",
                    facts=[f"did you mean `{near[0]}`?"] if near else [],
                    fix=f"one of: {', '.join(EVENTS)}, or a pattern: {', '.join(PATTERNS)}",
                    where=where,
                )
            )
        if hook.select is not None and written.startswith("run."):
            what = f"{label}: select= is for events of assets and checks, and `{written}` is of a run"
            problems.append(BadDeclaration(what, fix="leave select= out, or write two hooks", where=where))
        events |= names_in(written)
    bindings = _bindings(Taker(label, hook.function), files, problems)
    live = LiveHook(name, hook.function, frozenset(events), bindings, where.file, where.line)
    if hook.select is None:
        return live, None
    from assetflow.plan.selection import parse_selection

    try:
        return live, parse_selection(hook.select)
    except AssetflowError as error:
        problems.append(_about_selection(live, error))
        return live, None


def _bindings(taker: Taker, files: ProjectFiles, problems: list[DefinitionError]) -> tuple[Binding, ...]:
    """What the parameters get: one of them the event, the others resources."""
    inner = inner_function(taker.function)
    code = getattr(inner, "__code__", None)
    if not isinstance(code, CodeType):
        where = function_place(taker.function, files)
        problems.append(BadDeclaration(f"{taker.label} is not a plain function", where=where))
        return ()
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    check_signature(taker, code, parameters, files, problems)
    function = cast("FunctionType", inner)
    hints, defaults = annotations_of(function), with_default(function, code)
    found: list[Binding] = []
    for name in parameters:
        binding = _binding(name, hints.get(name), is_first=not any(one.kind == "event" for one in found))
        if binding is not None:
            found.append(binding)
        elif name not in defaults:
            problems.append(
                BadDeclaration(
                    f"{taker.label} takes `{name}`, and a hook takes one Event, and resources",
                    fix=f"write `{name}: Event`, or annotate it with a Resource class",
                    where=function_place(taker.function, files, name),
                )
            )
    return tuple(found)


def _binding(name: str, annotation: object, *, is_first: bool) -> Binding | None:
    plain = without_none(annotation)
    if plain is Event or annotation is None or getattr(plain, "__forward_arg__", None) in _EVENT_TEXTS:
        return Binding(name, "event") if is_first else None
    settings = sys.modules.get("assetflow.model.settings")  # when nothing imported it, nobody has such a class
    if settings is not None and isinstance(plain, type) and issubclass(plain, settings.Resource):
        return Binding(name, "resource", resource_class=plain)
    return None
