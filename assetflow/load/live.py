"""The loaded project with its functions: what a run needs besides the specs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.errors import BadConfig, ProjectLoadError
from assetflow.model.checks import ReadyCheck
from assetflow.model.code import CodeSource
from assetflow.model.declare import SourceDefinition
from assetflow.model.keys import AssetKey
from assetflow.model.policies import Limits, Retry
from assetflow.model.sensors import Automation
from assetflow.model.spec import AssetSpec

if TYPE_CHECKING:
    from assetflow.load.modules import Imported
    from assetflow.model.context import Partition
    from assetflow.model.settings import Config, Resource
    from assetflow.partitions.definition import Definition
    from assetflow.partitions.mappings import Mapping as PartitionMapping, Needs


class Binding(Struct, frozen=True):
    """What a parameter gets.

    kind: `asset` (the value of `upstream` in `form`, only `columns` when given), `context`, `config`, `resource` (an
    object of `resource_class`), `connection` (DuckDB's), `partition` (the own one), `nothing` (an upstream of which no
    partition is read: the default, or None), of a hook `event`, or what a sensor or a `@schedule` function is `given`.
    `optional`: the parameter has a default. `accept`, `window`, `partitions` and `need` are those of `In`. `parts` are
    the slots of an upstream that are read as one table; then there is no `upstream`.
    """

    parameter: str
    kind: str
    upstream: AssetKey | None = None
    form: str = "python"
    columns: tuple[str, ...] | None = None
    resource_class: type[Resource] | None = None
    optional: bool = False
    accept: str = ""
    window: tuple[int, int] = (0, 0)
    parts: tuple[AssetKey, ...] = ()
    partitions: PartitionMapping | None = None
    need: Needs | None = None

    @property
    def is_of_duckdb(self) -> bool:
        """Whether it is a relation, or the connection itself."""
        return self.kind == "connection" or self.form == "duckdb"


class LiveCheck(Struct, frozen=True):
    """A `@check` function and what its parameters get. `shares_duckdb`: as of a node."""

    name: str
    function: Callable[..., object]
    blocking: bool
    bindings: tuple[Binding, ...]
    shares_duckdb: bool = False


class LiveOutput(Struct, frozen=True):
    """One output of a function. `io_is_explicit`: the declaration says the io, so another one is not tried."""

    key: AssetKey
    io: str
    io_is_explicit: bool
    ready_checks: tuple[ReadyCheck, ...] = ()
    custom_checks: tuple[LiveCheck, ...] = ()


class Batch(Struct, frozen=True):
    """Several partitions are made in one call: at most `size`, or all that stand side by side.

    `columns` says for axes of the definition which column of the result has it; the others have the name of the axis.
    """

    size: int | None
    columns: Mapping[str, str]
    definition: Definition

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes; an empty one where there are none."""
        from assetflow.partitions.cells import axes_of

        return tuple(axes_of(self.definition))


class LiveNode(Struct, frozen=True):
    """A function and everything that it takes and makes. `return_form` is None when the annotation says none.

    `shares_duckdb`: its code uses the connection of DuckDB that all of the process share, as `duckdb.sql` does.
    `partition` is the one that is made by a call, where there are some; with `batch`, a call may make several.
    """

    function: Callable[..., object]
    outputs: tuple[LiveOutput, ...]
    several: bool
    bindings: tuple[Binding, ...]
    return_form: str | None = None
    retry: Retry | None = None
    config: Config | None = None
    limits: Limits = field(default_factory=Limits)
    partition: Partition | None = None
    batch: Batch | None = None
    shares_duckdb: bool = False

    def checked_against(self) -> Iterator[AssetKey]:
        """What the checks of the outputs read, the outputs themselves included."""
        for output in self.outputs:
            for ready in output.ready_checks:
                if ready.kind == "foreign_key":
                    yield AssetKey(str(ready.arguments["to"]))
            for check in output.custom_checks:
                yield from (binding.upstream for binding in check.bindings if binding.upstream is not None)


class LiveHook(Struct, frozen=True):
    """A function that is told of `events`, all or those of `assets`; it takes the event (a binding) and resources.

    `shares_duckdb`: as of a node.
    """

    name: str
    function: Callable[..., object]
    events: frozenset[str]
    bindings: tuple[Binding, ...]
    file: str
    line: int
    assets: frozenset[AssetKey] | None = None
    shares_duckdb: bool = False

    def of(self, assets: frozenset[AssetKey]) -> LiveHook:
        """The hook for events of these assets alone."""
        return replace(self, assets=assets)


class LiveCall(Struct, frozen=True):
    """A function of `@sensor` or `@schedule`, and what its parameters get: resources, and one of them `given`."""

    name: str
    function: Callable[..., object]
    bindings: tuple[Binding, ...] = ()


class LiveAutomation(Struct, frozen=True):
    """What modules declare beside assets, with its functions by name."""

    automation: Automation = field(default_factory=Automation)
    calls: Mapping[str, LiveCall] = field(default_factory=dict[str, LiveCall])


class Loaded(Struct, frozen=True):
    """A loaded project. `nodes` is keyed by `AssetSpec.node`; `files` are the project files it was made from.

    `given` holds the keys whose values the caller of `load_definitions` brings along. `imported` is what the manifest
    is keyed by. `code_sources` is the code behind all assets by the digests that `AssetSpec.code_parts` name. `sharing`
    are the sources whose function uses the shared connection of DuckDB.
    """

    specs: tuple[AssetSpec, ...]
    nodes: Mapping[str, LiveNode]
    sources: Mapping[AssetKey, SourceDefinition]
    resources: Mapping[type[Resource], Mapping[str, object]] = field(
        default_factory=dict["type[Resource]", Mapping[str, object]]
    )
    files: tuple[str, ...] = ()
    given: frozenset[AssetKey] = frozenset()
    imported: Imported | None = None
    code_sources: Mapping[str, CodeSource] = field(default_factory=dict[str, CodeSource])
    hooks: tuple[LiveHook, ...] = ()
    automation: LiveAutomation = field(default_factory=LiveAutomation)
    sharing: frozenset[AssetKey] = frozenset()


def make_resource(
    cls: type[Resource], settings: Mapping[str, object], environment: Mapping[str, str] = os.environ
) -> Resource:
    """A resource with its settings: environment variables first, then the project file's table, then its defaults.

    Raises:
        ProjectLoadError: a setting is missing, or is not what the resource takes.
    """
    from pydantic import ValidationError

    names = {name: cls.environment_name(name) for name in cls.model_fields}
    from_environment = {name: environment[variable] for name, variable in names.items() if variable in environment}
    try:
        return cls.model_validate({**settings, **from_environment})
    except ValidationError as error:
        problems: list[BadConfig] = []
        for one in error.errors(include_url=False, include_input=False):  # an input may be a secret
            name = str(one["loc"][0]) if one["loc"] else ""
            variable = names.get(name, "")
            message = one["msg"].removeprefix("Value error, ")
            problems.append(
                BadConfig(
                    f"resource `{cls.__name__}`: `{name}` is missing"
                    if one["type"] == "missing"
                    else f"resource `{cls.__name__}`: `{name}`: {message[:1].lower()}{message[1:]}",
                    facts=[f"it came from ${variable}"] if name in from_environment else [],
                    fix=f"set {variable}, or `{name}` under [resources.{cls.__name__}] in the project file",
                )
            )
        raise ProjectLoadError(problems) from error
