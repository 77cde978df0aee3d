"""The schema of the project file as pydantic models, and its problems in words with their line.

Imported only when a settings file, a variable or a flag changed; see `settings`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from assetflow.errors import (
    AssetflowError,
    BadConfig,
    DefinitionError,
    Location,
    ProjectLoadError,
    did_you_mean,
)
from assetflow.load.alert_schema import ChannelSettings, channel_problems
from assetflow.load.places import KeyPath, key_places, nearest_place
from assetflow.load.settings import FILE, LOCAL_FILE
from assetflow.model.amounts import memory_bytes
from assetflow.model.durations import seconds
from assetflow.model.jobs import MOST_RUNS
from assetflow.model.keys import parse_label
from assetflow.model.policies import jitter_share
from assetflow.model.zones import is_zone

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_BY_KEY = ("config", "resources", "selections", "groups", "defaults", "retention", "pools", "jobs", "alerts")
"""The tables whose entries have their own origin; layers are merged entry by entry."""


def _words(check: Callable[[str], object]) -> Callable[[str], str]:
    """A validator that turns our own errors into the sentence that they start with."""

    def validate(value: str) -> str:
        try:
            check(value)
        except AssetflowError as error:
            raise ValueError(error.what) from error
        return value

    return validate


def _module(value: str) -> str:
    if not _MODULE.match(value):
        raise ValueError(f'`{value}` is not a module name; write it as in an import: "shop" or "shop.assets"')
    return value


def _catalog(value: str) -> str:
    if not value.startswith("sqlite:///") or value == "sqlite:///":
        raise ValueError(f"`{value}` is not a catalog; write sqlite:///PATH, such as sqlite:///.assetflow/catalog.db")
    return value


def _path(value: str) -> str:
    if not value or "://" in value:
        raise ValueError(f"`{value}` is not a path; write a folder or file, relative to the project or absolute")
    return value


def _zone(value: str) -> str:
    if value != "local" and not is_zone(value):
        raise ValueError(f'`{value}` is not a time zone; write "Europe/London", "UTC" or "local"')
    return value


def _tags(value: object) -> object:
    return dict.fromkeys(cast("list[object]", value), "") if isinstance(value, list) else value


def _split(value: object) -> object:
    """Variables and flags hold lists as text: `ASSETFLOW_MODULES=shop,marts`."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _unless_none(read: Callable[[Any], object]) -> Callable[[object], object]:
    return lambda value: None if value is None else read(value)


class _Retry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    times: Annotated[int, Field(ge=0)] = 1
    delay: Annotated[float, BeforeValidator(seconds)] = 0.0
    backoff: Annotated[float, Field(ge=1)] = 1.0
    max_delay: Annotated[float | None, BeforeValidator(_unless_none(seconds))] = None
    jitter: Annotated[bool | float, BeforeValidator(jitter_share)] = False


def _retry(value: object) -> object:
    return {"times": value} if isinstance(value, int) else value


IO = Literal["parquet", "duckdb"]
Label = Annotated[str, AfterValidator(_words(lambda value: parse_label(value, "pool")))]
Group = Annotated[str, AfterValidator(_words(lambda value: parse_label(value, "group")))]
Modules = Annotated[list[Annotated[str, AfterValidator(_module)]], BeforeValidator(_split), Field(min_length=1)]
Tables = dict[str, dict[str, Any]]
Policy = Literal["compatible", "minor", "exact", "ignore"]


class _Defaults(BaseModel):
    model_config = ConfigDict(extra="forbid")
    retry: Annotated[_Retry | None, BeforeValidator(_retry)] = None
    owners: list[str] | None = None
    io: IO | None = None
    tags: Annotated[dict[str, str], BeforeValidator(_tags)] = Field(default_factory=dict)
    packages: Policy | dict[str, Policy] | None = None
    timeout: Annotated[float | None, BeforeValidator(_unless_none(seconds)), Field(gt=0)] = None
    memory: Annotated[int | None, BeforeValidator(_unless_none(memory_bytes))] = None
    isolation: Literal["process"] | None = None
    pool: str | dict[str, Annotated[int, Field(ge=1)]] | None = None


class _Retention(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keep: Annotated[int, Field(ge=1)] = 10
    keep_days: Annotated[float, Field(ge=0)] = 30.0
    grace: Annotated[float, BeforeValidator(seconds)] = 86_400.0


def _job_zone(value: str) -> str:
    """A zone with a name: what `local` is differs from machine to machine."""
    try:
        return _zone("" if value == "local" else value)
    except ValueError as error:
        raise ValueError(f'`{value}` is not the name of a time zone; write "Europe/London" or "UTC"') from error


def _cron(value: str) -> str:
    from assetflow.partitions.cron import check_cron

    if problem := check_cron(value):
        raise ValueError(f'{problem}; write five fields, such as "0 6 * * 1-5" for 06:00 on working days')
    return value


def _selection(value: str) -> str:
    from assetflow.plan.selection import parse_selection

    return _words(parse_selection)(value) if value else value


def _update(value: object) -> object:
    return {"assets": [value]} if isinstance(value, str) else value


class _OnUpdate(BaseModel):
    model_config = ConfigDict(extra="forbid")
    assets: Annotated[list[str], Field(min_length=1)]
    project: str | None = None
    env: Annotated[str, AfterValidator(_words(lambda value: parse_label(value, "environment")))] | None = None


class _Job(BaseModel):
    model_config = ConfigDict(extra="forbid")
    select: Annotated[str, AfterValidator(_selection)] | None = None
    cron: Annotated[str, AfterValidator(_cron)] | None = None
    tz: Annotated[str, AfterValidator(_job_zone)] | None = None
    catchup: Literal["latest", "all", "none"] | None = None
    partitions: Annotated[str, Field(min_length=1)] | None = None
    on_update: list[Annotated[_OnUpdate, BeforeValidator(_update)]] | None = None
    max_active_runs: Annotated[int, Field(ge=1, le=MOST_RUNS)] | None = None
    config: Tables | None = None
    env: Annotated[str, AfterValidator(_words(lambda value: parse_label(value, "environment")))] | None = None
    enabled: bool | None = None


class _Layer(BaseModel):
    """One file, or the variables, or the flags: every key may be left out."""

    model_config = ConfigDict(extra="forbid")
    name: str | None = None
    modules: Modules | None = None
    io: IO | None = None
    storage: Annotated[str, AfterValidator(_path)] | None = None
    catalog: Annotated[str, AfterValidator(_catalog)] | None = None
    duckdb: Literal["views", "native"] | None = None
    hive: bool | None = None
    warehouse: Annotated[str, AfterValidator(_path)] | None = None
    executor: Literal["threads", "inline", "processes"] | None = None
    workers: Annotated[int, Field(ge=1, le=1000)] | None = None
    stop_grace: Annotated[float | None, BeforeValidator(_unless_none(seconds))] = None
    env: Annotated[str, AfterValidator(_words(lambda value: parse_label(value, "environment")))] | None = None
    tz: Annotated[str, AfterValidator(_zone)] | None = None
    allow_pickle: bool | None = None
    hash: Literal["xxh3", "sha256"] | None = None
    discover: bool | None = None
    log_limit: Annotated[int | None, BeforeValidator(_unless_none(memory_bytes)), Field(ge=1000)] = None
    retention: _Retention | None = None
    defaults: _Defaults | None = None
    groups: dict[Group, _Defaults] | None = None
    config: Tables | None = None
    resources: Tables | None = None
    pools: dict[Label, Annotated[int, Field(ge=1)]] | None = None
    selections: dict[str, str] | None = None
    jobs: dict[Annotated[str, AfterValidator(_words(lambda value: parse_label(value, "job")))], _Job] | None = None
    alerts: dict[
        Annotated[str, AfterValidator(_words(lambda value: parse_label(value, "alert channel")))], ChannelSettings
    ] | None = None  # fmt: skip


def merged_settings(
    project_file: str, texts: Mapping[str, bytes], variables: Mapping[str, str], overrides: Mapping[str, str]
) -> dict[str, object]:
    """The validated settings of all layers as JSON-able values, without those that are default, and their `origins`.

    Raises:
        ProjectLoadError: with every problem of every layer.
    """
    problems: list[DefinitionError] = []
    merged: dict[str, object] = {}
    origins: dict[str, str] = {}
    for file in (project_file, LOCAL_FILE):
        if file in texts:
            _merge(merged, origins, *_file_layer(file, texts[file], problems))
    problems += _unscheduled(cast("Mapping[str, Mapping[str, object]]", merged.get("jobs", {})), origins)
    problems += channel_problems(cast("Mapping[str, Mapping[str, object]]", merged.get("alerts", {})), origins)
    home = {"home_env": merged["env"]} if "env" in merged else {}
    for values, origin in ((variables, _variable), (overrides, _flag)):
        layer = _validated(dict(values), lambda path, origin=origin: origin(path[0]), problems)
        _merge(merged, origins, layer, lambda path, origin=origin: str(origin(path[0])))
    if problems:
        raise ProjectLoadError(sorted(problems, key=_order))
    return {**merged, **home, "origins": origins}


def job_values(
    name: str, values: Mapping[str, object], where: Location, problems: list[DefinitionError]
) -> dict[str, object]:
    """The validated values of a job that a module declares, in the way of those of a file."""
    before = len(problems)
    layer = _validated({"jobs": {name: dict(values)}}, lambda path: where, problems)
    jobs = cast("dict[str, dict[str, object]]", layer.get("jobs", {}))
    if len(problems) == before and not ("cron" in values or values.get("on_update")):
        problems.append(BadConfig(f"the job `{name}` has no `cron`", fix=_DUE, where=where))
    return jobs.get(name, {})


_DUE = 'say when it is due, such as cron = "0 6 * * *" for every day at 06:00'


def _unscheduled(jobs: Mapping[str, Mapping[str, object]], origins: Mapping[str, str]) -> list[DefinitionError]:
    """The jobs that no file says the times of: `assetflow.local.toml` alone may well leave them out."""
    problems: list[DefinitionError] = []
    for name, job in jobs.items():
        if not ("cron" in job or job.get("on_update")):
            known = next((text for key, text in origins.items() if key.startswith(f"jobs.{name}.")), "")
            file, _, line = known.rpartition(":")
            where = Location(file, int(line)) if file and line.isdigit() else None
            problems.append(BadConfig(f"the job `{name}` has no `cron`", fix=_DUE, where=where))
    return problems


def _order(problem: DefinitionError) -> tuple[str, int, int, str]:
    where = problem.where
    return (where.file, where.line, where.column, problem.what) if where else ("", 0, 0, problem.what)


def _variable(key: str) -> str:
    return f"$ASSETFLOW_{key.upper()}"


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


Origin = Callable[[KeyPath], "Location | str"]


def _file_layer(
    file: str, content: bytes, problems: list[DefinitionError]
) -> tuple[dict[str, object], Callable[[KeyPath], str]]:
    """The validated values of one file, and a function that says where each stands."""
    try:
        text = content.decode("utf-8-sig")
        parsed: dict[str, object] = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problems.append(BadConfig(f"`{file}` is not UTF-8 text", fix="save it as UTF-8", where=Location(file, line)))
        return {}, str
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        place = Location(file, int(at[1]), int(at[2])) if at else Location(file, max(1, len(content.splitlines())))
        problems.append(BadConfig(f"`{file}` is not TOML: {str(error).partition(' (at')[0]}", where=place))
        return {}, str
    places = key_places(text, file)
    prefix: KeyPath = ("tool", "assetflow") if file == "pyproject.toml" else ()
    table = parsed
    for part in prefix:
        table = cast("dict[str, object]", table.get(part, {}))

    def where(path: KeyPath) -> Location:
        return nearest_place(places, (*prefix, *path), file)

    layer = _validated(table, where, problems)
    return layer, lambda path: str(where(path))


def _validated(values: Mapping[str, object], origin: Origin, problems: list[DefinitionError]) -> dict[str, object]:
    """The valid values of a layer; what is wrong with the others goes to `problems`."""
    try:
        layer = _Layer.model_validate(_plain(values))
    except ValidationError as error:
        problems.extend(_problem(one, origin) for one in _per_place(error))
        return {}
    found: dict[str, object] = layer.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    for defaults in (found.get("defaults"), *cast("dict[str, object]", found.get("groups", {})).values()):
        retry = cast("dict[str, dict[str, object]]", defaults or {}).get("retry")
        if retry:
            filled = _Retry.model_validate(retry)
            cast("dict[str, object]", defaults)["retry"] = list(filled.model_dump().values())
    return found


def _plain(value: object) -> object:
    """TOML's dates as ISO text, so that every setting is JSON-able; the `Config` class reads them back."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in cast("list[object]", value)]
    return value.isoformat() if isinstance(value, (datetime, date, time)) else value


def _per_place(error: ValidationError) -> Iterable[Mapping[str, Any]]:
    """The errors, one for each key: pydantic reports every member of a union by itself."""
    found: dict[KeyPath, Mapping[str, Any]] = {}
    for one in error.errors(include_url=False):
        path = tuple(str(part) for part in one["loc"] if not str(part).startswith(("function-", "list[", "dict[")))
        found.setdefault(path, {**one, "loc": path})
    return found.values()


def _problem(error: Mapping[str, Any], origin: Origin) -> BadConfig:
    path: KeyPath = error["loc"]
    place = origin(path)
    where = place if isinstance(place, Location) else None
    name = place if isinstance(place, str) else f"`{'.'.join(path)}`"
    kind: str = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, where)
    message: str = error["msg"].removeprefix("Value error, ")
    if path[0] == "alerts":  # what stands there may be an address, and with it a secret
        return BadConfig(f"{name}: {message[:1].lower()}{message[1:]}", where=where)
    given = _shown(error.get("input"))
    if kind == "literal_error":
        choices: list[str] = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        near = did_you_mean(str(error.get("input")), choices)
        expected = " or ".join(f'"{choice}"' for choice in choices)
        return BadConfig(f"{name} is {given}, but takes {expected}", facts=[near] if near else [], where=where)
    if kind == "value_error":
        return BadConfig(f"{name}: {message}", where=where)
    return BadConfig(f"{name} is {given}: {message[:1].lower()}{message[1:]}", where=where)


def _unknown_key(path: KeyPath, where: Location | None) -> BadConfig:
    *parents, key = path
    known: Mapping[str, object] = _Layer.model_fields
    if parents:
        inner: dict[str, type[BaseModel]] = {"retry": _Retry, "retention": _Retention}
        if "on_update" in parents:
            inner[parents[-1]] = _OnUpdate
        tables: dict[str, type[BaseModel]] = {"jobs": _Job, "alerts": ChannelSettings}
        known = inner.get(parents[-1], tables.get(parents[0], _Defaults)).model_fields
    near = None if key == "tool" else did_you_mean(key, known)
    inside = f" in `{'.'.join(parents)}`" if parents else ""
    fix = f"known keys{inside}: {', '.join(known)}"
    if not parents and key == "tool":
        fix = f"in `{FILE}` the keys stand at the top, without [tool.assetflow]"
    return BadConfig(f"unknown key `{key}`{inside}", facts=[near] if near else [], fix=fix, where=where)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)[:60]


def _merge(
    merged: dict[str, object],
    origins: dict[str, str],
    layer: Mapping[str, object],
    origin: Callable[[KeyPath], str],
) -> None:
    """Put a layer over what is there: tables key by key, everything else as a whole."""
    for key, value in layer.items():
        if key in _BY_KEY:
            target = cast("dict[str, object]", merged.setdefault(key, {}))
            _merge_table(target, origins, cast("dict[str, object]", value), (key,), origin)
        else:
            merged[key] = value
            origins[key] = origin((key,))


def _merge_table(
    target: dict[str, object],
    origins: dict[str, str],
    table: Mapping[str, object],
    path: KeyPath,
    origin: Callable[[KeyPath], str],
) -> None:
    for key, value in table.items():
        inner = (*path, key)
        if isinstance(value, dict):
            below = target.get(key)
            nested = cast("dict[str, object]", below if isinstance(below, dict) else {})
            target[key] = nested
            _merge_table(nested, origins, cast("dict[str, object]", value), inner, origin)
        else:
            target[key] = value
            origins[".".join(inner)] = origin(inner)
