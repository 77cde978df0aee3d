"""From `job`, `@schedule` and `@sensor` to jobs and sensors that can be called: validated, all problems kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from assetflow.errors import AssetflowError, BadDeclaration, DefinitionError, Location
from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.binding import annotations_of, function_place, inner_function, with_default, without_none
from assetflow.load.live import Binding, LiveAutomation, LiveCall
from assetflow.model.automation import JobDefinition, SensorDefinition, automation_of
from assetflow.model.keys import parse_label
from assetflow.model.sensors import Automation, SensorSpec

if TYPE_CHECKING:
    from assetflow.load.settings import Settings
    from assetflow.model.spec import AssetSpec

Declared = JobDefinition | SensorDefinition

RESERVED = "auto"
"""The name under which runs of assets with `auto=` are recorded."""


def live_automation(
    modules: Mapping[str, ModuleType], files: ProjectFiles, settings: Settings, problems: list[DefinitionError]
) -> LiveAutomation:
    """The jobs and sensors in the attributes of the modules. What does not fit goes to `problems`."""
    jobs: dict[str, Mapping[str, object]] = {}
    places: dict[str, str] = {}
    sensors: list[SensorSpec] = []
    calls: dict[str, LiveCall] = {}
    taken = {name: settings.place("jobs", name) for name in settings.jobs}
    for one in _collected(modules):
        where = _place(one, files)
        label = f"{'job' if isinstance(one, JobDefinition) else 'sensor'} `{one.name}`"
        if (problem := _name_problem(one.name, label, taken, where)) is not None:
            problems.append(problem)
            continue
        taken[one.name] = where
        if one.function is not None:
            calls[one.name] = LiveCall(one.name, one.function, _bindings(label, one.function, files, problems))
        if isinstance(one, JobDefinition):
            from assetflow.load.schema import job_values

            values = job_values(one.name, one.values, where, problems)
            jobs[one.name] = values if one.function is None else {**values, "is_function": True}
            places[one.name] = str(where)
        else:
            sensors.append(_sensor(one, where, problems))
    found = Automation(jobs, places, tuple(sorted(sensors, key=lambda one: one.name)))
    return LiveAutomation(found, calls)


def auto_problems(specs: Iterable[AssetSpec]) -> Iterator[DefinitionError]:
    """What is wrong with the policies of assets that are made by themselves."""
    for spec in specs:
        if spec.auto is None:
            continue
        where, label = Location(spec.file, spec.line), f"asset `{spec.key}`: auto="
        if spec.auto.cron:
            from assetflow.model.zones import is_zone
            from assetflow.partitions.cron import check_cron

            if problem := check_cron(spec.auto.cron):
                yield BadDeclaration(f"{label} {problem}", fix='write five fields: cron("0 6 * * *")', where=where)
            if not is_zone(spec.auto.tz):
                what = f"{label} `{spec.auto.tz}` is not the name of a time zone"
                yield BadDeclaration(what, fix='write "Europe/London" or "UTC"', where=where)


def _collected(modules: Mapping[str, ModuleType]) -> list[Declared]:
    """What the attributes of the modules hold, alone or in lists and dicts, each once."""
    found: dict[int, Declared] = {}
    for module in modules.values():
        for name, value in list(vars(module).items()):
            for one in _in(value):
                found.setdefault(id(one), one if one.name else replace(one, name=name))
    return list(found.values())


def _in(value: object) -> Iterator[Declared]:
    found = automation_of(value)
    if found is not None:
        yield found
    elif isinstance(value, (list, tuple)):
        yield from _each(cast("Iterable[object]", value))
    elif isinstance(value, dict):
        yield from _each(cast("dict[object, object]", value).values())


def _each(values: Iterable[object]) -> Iterator[Declared]:
    return (one for item in list(values) if (one := automation_of(item)) is not None)


def _place(one: Declared, files: ProjectFiles) -> Location:
    return Location(files.relative(one.file), max(1, one.line))


def _name_problem(
    name: str, label: str, taken: Mapping[str, Location | None], where: Location
) -> BadDeclaration | None:
    if name in taken:
        other = taken[name]
        facts = [] if other is None else [f"the other one is at {other}"]
        return BadDeclaration(
            f"{label}: there is a job or a sensor of this name already", facts=facts, fix="rename one", where=where
        )
    if name == RESERVED:
        return BadDeclaration(f"{label}: the runs of assets with auto= are recorded by this name", fix="rename it",
                              where=where)  # fmt: skip
    try:
        parse_label(name, "job or sensor")
    except AssetflowError as error:
        return BadDeclaration(f"{label}: {error.what}", fix=error.fix, where=where)
    return None


def _sensor(one: SensorDefinition, where: Location, problems: list[DefinitionError]) -> SensorSpec:
    for name, amount in (("every", one.every_s), ("timeout", one.timeout_s)):
        if amount <= 0:
            problems.append(
                BadDeclaration(f"sensor `{one.name}`: {name}= is not a time", fix='write "30s"', where=where)
            )
    if one.env is not None:
        try:
            parse_label(one.env, "environment")
        except AssetflowError as error:
            problems.append(BadDeclaration(f"sensor `{one.name}`: {error.what}", fix=error.fix, where=where))
    return SensorSpec(one.name, one.every_s, one.timeout_s, one.env, one.description, where.file, where.line)


def _bindings(
    label: str, function: Callable[..., object], files: ProjectFiles, problems: list[DefinitionError]
) -> tuple[Binding, ...]:
    """What the parameters get: one that is no resource what it is called with, the others resources."""
    inner = inner_function(function)
    code = getattr(inner, "__code__", None)
    where = function_place(function, files)
    if not isinstance(code, CodeType):
        problems.append(BadDeclaration(f"{label} is not a plain function", where=where))
        return ()
    if code.co_flags & 0x280:  # async def, also one that yields
        problems.append(BadDeclaration(f"{label} is `async def`", fix="make it a plain `def`", where=where))
    plain = cast("FunctionType", inner)
    hints, defaults = annotations_of(plain), with_default(plain, code)
    settings = sys.modules.get("assetflow.model.settings")  # when nothing imported it, nobody has such a class
    found: list[Binding] = []
    for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        hint = without_none(hints.get(name))
        if settings is not None and isinstance(hint, type) and issubclass(hint, settings.Resource):
            found.append(Binding(name, "resource", resource_class=hint))
        elif not any(one.kind == "given" for one in found):
            found.append(Binding(name, "given"))
        elif name not in defaults:
            what = f"{label} takes `{name}`, and there is one thing to take beside resources"
            fix = f"leave `{name}` out, or annotate it with a Resource class"
            problems.append(BadDeclaration(what, fix=fix, where=function_place(function, files, name)))
    return tuple(found)
