"""From definitions to specs: every name looked up, every argument checked, all problems kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.errors import (
    AmbiguousName,
    BadDeclaration,
    DefinitionError,
    DuplicateKey,
    ImportFailed,
    Location,
    did_you_mean,
    near_names,
)
from assetflow.fingerprint.files import ProjectFiles
from assetflow.io.forms import kind_badge
from assetflow.load.binding import Bound, Names, Taker, bind, function_place
from assetflow.load.collect import Collected
from assetflow.load.given import Unmet, told_in_memory
from assetflow.load.live import LiveCheck, LiveNode, LiveOutput
from assetflow.load.partitioned import batch_of, batch_problems, inputs_of, source_problems
from assetflow.load.pools import pool_problems
from assetflow.load.settings import Defaults, Settings
from assetflow.load.values import ConfigTables, config_texts, make_config
from assetflow.model.checks import CheckDefinition, ReadyCheck
from assetflow.model.declare import (
    AssetDefinition,
    AssetLike,
    Out,
    SourceDefinition,
    definition_of,
)
from assetflow.model.keys import AssetKey, last_name, parse_key, parse_label
from assetflow.model.policies import NO_LIMITS, Freshness
from assetflow.model.spec import AssetSpec, CheckSpec, InputSpec, SourceSpec
from assetflow.plan.surroundings import POLICIES

T = TypeVar("T")

IO_NAMES = ("parquet", "duckdb", "json", "file", "pickle")
"""What `io=` of an asset can be."""


class NotDeclared(BadDeclaration):
    """A declaration has an argument that names something which is not declared, as far as modules could be imported."""


class Project(Struct):
    """What resolving has found so far."""

    settings: Settings | None
    files: ProjectFiles
    declared: list[Collected]
    given: frozenset[str] = frozenset()
    problems: list[DefinitionError] = field(default_factory=list[DefinitionError])
    specs: list[AssetSpec] = field(default_factory=list[AssetSpec])
    nodes: dict[str, LiveNode] = field(default_factory=dict[str, LiveNode])
    sources: dict[AssetKey, SourceDefinition] = field(default_factory=dict[AssetKey, SourceDefinition])
    check_needs: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Pairs of an asset and another one that its checks read."""


class _CustomCheck(Struct):
    definition: CheckDefinition
    target: str


class Resolver:
    """Resolves the definitions of one project; see `resolve`."""

    def __init__(self, project: Project, overrides: Mapping[str, Mapping[str, object]]) -> None:
        self._project = project
        self._problems = project.problems
        self._places: dict[int, Location] = {}
        self._defaults: dict[str, Defaults] = {}  # by group
        assets, sources, checks = _sorted_out(project.declared)
        keys = self._unique_keys(project.declared)
        kept = {id(definition) for definition in keys.values()}
        self._assets = [(one, module) for one, module in assets if id(one) in kept]
        self._sources = [(one, module) for one, module in sources if id(one) in kept]
        by_key = {key: one for key, one in keys.items() if isinstance(one, SourceDefinition)}
        self._names = Names([*keys, *project.given], by_key)
        self._tables = ConfigTables(project.settings, overrides, keys)
        self._checks: dict[str, list[_CustomCheck]] = {}
        for check in checks:
            self._assign(check)

    def resolve(self) -> None:
        """Fill the project with specs and nodes, or with problems."""
        for definition, module in self._sources:
            self._source(definition, module)
        for definition, module in self._assets:
            self._asset(definition, module)
        if not any(isinstance(one, ImportFailed) for one in self._problems):
            self._problems.extend(self._tables.left_over())  # what they name may be in a module that failed
            self._check_group_names()
        if self._project.settings is None:
            taken = {one.upstream for spec in self._project.specs for one in spec.inputs}
            taken.update(AssetKey(other) for _, other in self._project.check_needs)
            unused = self._project.given - taken
            self._problems[:] = told_in_memory(self._problems, self._names.unmet, unused)

    # ------------------------------------------------------------------------------------------ keys

    def _unique_keys(self, declared: Iterable[Collected]) -> dict[str, AssetDefinition | SourceDefinition]:
        """The definition of each key, the first where two have the same; illegal keys stay known, to be taken."""
        found: dict[str, AssetDefinition | SourceDefinition] = {}
        seen: dict[str, tuple[str, Location]] = {}
        for key, definition in _keys_in_order(declared):
            where = self._place(definition)
            self._try(lambda key=key, where=where: parse_key(key, where))
            folded = key.lower()
            if folded not in seen:
                seen[folded] = (key, where)
                found[key] = definition
                continue
            found.setdefault(key, definition)  # what takes it has found it: one problem is enough
            other, first = seen[folded]
            both = (
                f"both called `{key}`" if other == key else f"called `{other}` and `{key}`, which differ in case only"
            )
            self._problems.append(
                DuplicateKey(
                    f"two declarations are {both}: {first} and {where}",
                    fix='rename one, or give it a schema: @asset(key="staging.orders")',
                    where=where,
                )
            )
        return found

    def _place(self, definition: AssetDefinition | SourceDefinition | CheckDefinition) -> Location:
        if isinstance(definition, SourceDefinition):
            return Location(self._project.files.relative(definition.file), definition.line)
        place = self._places.get(id(definition))
        if place is None:
            place = self._places[id(definition)] = function_place(definition.function, self._project.files)
        return place

    def _try(self, check: Callable[[], object]) -> None:
        try:
            check()
        except DefinitionError as error:
            self._problems.append(error)

    def _lookup(self, value: AssetLike, what: str, where: Location, *, is_target: bool = False) -> list[str]:
        """The keys that a reference in an argument means; several for a function with several outputs."""
        definition = None if isinstance(value, str) else definition_of(value)
        if isinstance(definition, AssetDefinition):
            wanted = [out.key for out in definition.outputs]
        elif isinstance(definition, SourceDefinition):
            wanted = [definition.key]
        elif isinstance(value, str):
            wanted = [value]
        else:
            text = f"{what} names {value!r}, which is neither a key nor a declared asset or source"
            self._problems.append(BadDeclaration(text, where=where))
            return []
        return [key for one in wanted for key in self._named(one, what, where, is_target=is_target)]

    def _named(self, name: str, what: str, where: Location, *, is_target: bool = False) -> list[str]:
        found = self._names.fitting(name)
        if len(found) == 1:
            return found
        if found:
            choices = ", ".join(f"`{key}`" for key in found)
            fix = f"write the full key, such as `{found[0]}`"
            self._problems.append(AmbiguousName(f"{what} names `{name}`, which fits {choices}", fix=fix, where=where))
        else:
            problem = _unknown(name, what, self._names, where)
            self._problems.append(problem)
            self._names.unmet[id(problem)] = Unmet(problem, name, is_target)
        return []

    # ------------------------------------------------------------------------------------------ sources

    def _source(self, definition: SourceDefinition, module: str) -> None:
        from assetflow.io.sources import check_options, format_of, plain_format

        where = self._place(definition)
        label = f"source `{definition.key}`"
        self._labels(definition.group, definition.tags, definition.freshness, label, where)
        settings = self._project.settings
        path = definition.path
        source_format = definition.format or (format_of(path) if path is not None else "")
        if path is not None:
            try:
                source_format = plain_format(source_format, where)
                check_options(source_format, definition.options, where)
            except DefinitionError as error:
                self._problems.append(error)
        elif definition.options:
            some = ", ".join(f"`{name}`" for name in definition.options)
            self._problems.append(BadDeclaration(f"{label} has no file, so it takes no {some}", where=where))
        group, defaults = self._group(definition.group, _module_of(definition.file, module))
        root = settings.root if settings is not None else Path.cwd()
        self._problems.extend(source_problems(definition, where))
        key = AssetKey(definition.key)
        self._project.sources[key] = definition
        self._project.specs.append(
            AssetSpec(
                key=key, kind="source", node=key, inputs=(), group=group,
                owners=_first(definition.owners, defaults.owners) or (),
                tags={**defaults.tags, **definition.tags}, description=definition.description, io="",
                file=where.file, line=where.line, freshness=definition.freshness,
                kinds=(source_format,) if source_format else (), partitions=definition.partitions,
                source=SourceSpec(
                    path=None if path is None else _absolute(root, path), format=source_format, ttl_s=definition.ttl_s,
                    options=definition.options, has_token=definition.version is not None,
                    has_as_of=definition.as_of is not None, loadable=path is not None or definition.load is not None,
                ),
            )
        )  # fmt: skip

    # ------------------------------------------------------------------------------------------ assets

    def _asset(self, definition: AssetDefinition, module: str) -> None:
        where = self._place(definition)
        keys = [out.key for out in definition.outputs]
        label = f"asset `{keys[0]}`" if len(keys) == 1 else f"assets {', '.join(f'`{key}`' for key in keys)}"
        taker = Taker(label, definition.function, definition.inputs, tuple(keys))
        bound = bind(taker, self._names, self._project.files, self._problems)
        config = None
        if bound.config_class is not None:
            config = make_config(bound.config_class, label, keys, self._tables, self._problems)
        texts = {} if config is None else config_texts(config, label, where, self._problems)
        tags = [{**definition.tags, **out.tags} for out in definition.outputs]
        for out, own in zip(definition.outputs, tags, strict=True):
            self._labels(definition.group, own, out.freshness, label, where)
        inputs = self._inputs(definition, bound, label, where)
        self._check_counts(definition, label, where)
        group, defaults = self._group(definition.group, module)
        counts = definition.counts
        retry = _first(definition.retry, defaults.retry)
        bounds = definition.limits.over(defaults.limits)
        self._problems.extend(pool_problems(bounds, self._project.settings, label, where))
        outputs = [self._output(out, definition, defaults, where) for out in definition.outputs]
        self._project.nodes[keys[0]] = LiveNode(
            definition.function, tuple(outputs), definition.several, bound.bindings,
            None if definition.several else bound.return_form, retry, config, bounds, batch=batch_of(definition),
        )  # fmt: skip
        for out, live, own in zip(definition.outputs, outputs, tags, strict=True):
            badges = [
                None if definition.several else kind_badge(bound.return_form),
                live.io if live.io_is_explicit else None,
            ]
            self._project.specs.append(
                AssetSpec(
                    key=live.key, kind="asset", node=keys[0], inputs=inputs, group=group, auto=definition.auto,
                    owners=_first(definition.owners, defaults.owners) or (),
                    tags={**defaults.tags, **own}, description=out.description or "",
                    io=live.io, file=where.file, line=where.line, config=texts or None, freshness=out.freshness,
                    checks=_check_specs(live, self._checks.get(out.key, ())),
                    kinds=tuple(dict.fromkeys(filter(None, badges))),
                    retries=retry.times if retry is not None else 0, code_version=counts.code_version, cue=counts.cue,
                    files=dict.fromkeys(counts.files, ""), env_vars=dict.fromkeys(counts.env, ""),
                    package_policy={**defaults.packages, **counts.packages},
                    limits=None if bounds == NO_LIMITS else bounds, partitions=definition.partitions,
                )
            )  # fmt: skip

    def _check_counts(self, definition: AssetDefinition, label: str, where: Location) -> None:
        """What `files=`, `env=` and `packages=` name must be something that can be looked at."""
        counts = definition.counts
        for name, policy in counts.packages.items():
            if policy not in POLICIES:
                of = "" if name == "*" else f" of `{name}`"
                what = f"{label}: packages={policy!r}{of} is not known"
                fix = did_you_mean(policy, POLICIES) or f"choose one of: {', '.join(POLICIES)}"
                self._problems.append(BadDeclaration(what, fix=fix, where=where))
        for path in counts.files:
            if not path or Path(path).is_absolute() or ".." in Path(path).parts:
                what = f'{label}: files="{path}" does not lie below the project'
                fix = "write a path or a glob relative to the project, or declare what lies elsewhere as a source"
                self._problems.append(BadDeclaration(what, fix=fix, where=where))
        for name in counts.env:
            if not name or "=" in name or "\0" in name:
                what = f'{label}: env="{name}" is not the name of a variable'
                self._problems.append(BadDeclaration(what, where=where))

    def _inputs(self, definition: AssetDefinition, bound: Bound, label: str, where: Location) -> tuple[InputSpec, ...]:
        found = inputs_of(definition, bound.bindings)
        self._problems.extend(batch_problems(definition, found, where))
        taken = {one.upstream for one in found} if definition.deps else set[AssetKey]()
        for dep in definition.deps:
            for key in self._lookup(dep, f"{label}: deps=", where):
                if key not in taken:
                    # A source is never built, so order alone would mean nothing: its version counts.
                    mode = "version" if key in self._names.sources else "order"
                    found.append(InputSpec("", AssetKey(key), mode))
                    taken.add(AssetKey(key))
        return tuple(found)

    def _output(self, out: Out, definition: AssetDefinition, defaults: Defaults, where: Location) -> LiveOutput:
        settings = self._project.settings
        explicit = out.io or definition.io
        io = explicit or defaults.io or (settings.io if settings is not None else "parquet")
        label = f"asset `{out.key}`"
        if io not in IO_NAMES:
            near = near_names(io, IO_NAMES, 1)
            facts = [f"did you mean `{near[0]}`?" if near else f"known: {', '.join(IO_NAMES)}"]
            self._problems.append(BadDeclaration(f'{label}: io="{io}" is not known', facts=facts, where=where))
        elif io == "pickle" and settings is not None and not settings.allow_pickle:
            what = f'{label}: io="pickle" is off, because reading a pickle runs whatever code it contains'
            fix = (
                "write `allow_pickle = true` in the project file, or return a table, JSON-able values, bytes or a Path"
            )
            self._problems.append(BadDeclaration(what, fix=fix, where=where))
        maybe = [self._ready_check(check, out.key, label, where) for check in out.checks]
        ready = tuple([check for check in maybe if check is not None])
        custom = tuple([self._custom_check(check) for check in self._checks.get(out.key, ())])
        return LiveOutput(AssetKey(out.key), io, explicit is not None, ready, custom)

    # ------------------------------------------------------------------------------------------ checks

    def _ready_check(self, check: ReadyCheck, key: str, label: str, where: Location) -> ReadyCheck | None:
        from assetflow.io.checks import check_arguments

        if not isinstance(check, ReadyCheck):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
            what = f'{label}: checks= takes ready-made checks such as not_null("id"), not {check!r}'
            fix = "a function of your own becomes a check with @check(asset)"
            self._problems.append(BadDeclaration(what, fix=fix, where=where))
            return None
        try:
            check_arguments(check, where)
        except BadDeclaration as error:
            told = BadDeclaration(f"{label}: {error.what}", facts=error.facts, fix=error.fix, where=error.where)
            self._problems.append(told)
            return None
        if check.kind != "foreign_key":
            return check
        found = self._named(str(check.arguments["to"]), f"{label}: {check.name}", where)
        if not found:
            return check
        self._project.check_needs.append((key, found[0]))
        return replace(check, arguments={**check.arguments, "to": found[0]})

    def _assign(self, check: CheckDefinition) -> None:
        """File the check under the asset that it judges."""
        where = self._place(check)
        found = self._lookup(check.target, f"check `{check.name}`", where, is_target=True)
        if len(found) > 1:
            what = f"check `{check.name}` is for a function that makes several assets"
            self._problems.append(BadDeclaration(what, fix=f'name one: @check("{found[0]}")', where=where))
        elif found and found[0] in self._names.sources:
            what = f"check `{check.name}` is for the source `{found[0]}`, and only what assets make is checked"
            self._problems.append(BadDeclaration(what, fix="check the asset that reads it", where=where))
        elif found:
            others = self._checks.setdefault(found[0], [])
            if any(other.definition.name == check.name for other in others):
                what = f"asset `{found[0]}` has two checks called `{check.name}`"
                fix = f'rename one: @check({last_name(found[0])}, name="...")'
                self._problems.append(BadDeclaration(what, fix=fix, where=where))
            others.append(_CustomCheck(check, found[0]))

    def _custom_check(self, check: _CustomCheck) -> LiveCheck:
        definition = check.definition
        label = f"check `{definition.name}` of `{check.target}`"
        taker = Taker(label, definition.function, prefers=check.target)
        bound = bind(taker, self._names, self._project.files, self._problems)
        others = {one.upstream for one in bound.bindings if one.upstream is not None}
        self._project.check_needs.extend((check.target, other) for other in sorted(others - {AssetKey(check.target)}))
        return LiveCheck(definition.name, definition.function, definition.blocking, bound.bindings)

    # ------------------------------------------------------------------------------------------ the rest

    def _labels(
        self, group: str | None, tags: Mapping[str, str], freshness: Freshness | None, label: str, where: Location
    ) -> None:
        if group is not None:
            self._try(lambda: parse_label(group, f"{label}: group", where))
        for tag in tags:
            self._try(lambda tag=tag: parse_label(tag, f"{label}: tag", where))
        if freshness is not None:
            self._problems.extend(_freshness_problems(freshness, label, where))

    def _group(self, explicit: str | None, module: str) -> tuple[str, Defaults]:
        """The group of a definition, and the defaults that it takes: the group's first, then the project's."""
        group = explicit or module.rpartition(".")[2].strip("_") or "main"
        found = self._defaults.get(group)
        if found is None:
            settings = self._project.settings
            below = _NO_DEFAULTS if settings is None else settings.defaults
            above = None if settings is None else settings.groups.get(group)
            found = self._defaults[group] = below if above is None else _over(above, below)
        return group, found

    def _check_group_names(self) -> None:
        settings = self._project.settings
        known = {spec.group for spec in self._project.specs}
        for name in settings.groups if settings is not None else ():
            if name not in known and settings is not None:
                near = near_names(name, known, 1)
                facts = [f"did you mean `{near[0]}`?"] if near else []
                keys = [key for key in settings.origins if key.startswith(f"groups.{name}.")]
                where = settings.place(*keys[0].split(".")) if keys else None
                self._problems.append(
                    BadDeclaration(f"[groups.{name}]: no asset is in the group `{name}`", facts=facts, where=where)
                )


def _sorted_out(
    declared: Iterable[Collected],
) -> tuple[list[tuple[AssetDefinition, str]], list[tuple[SourceDefinition, str]], list[CheckDefinition]]:
    assets: list[tuple[AssetDefinition, str]] = []
    sources: list[tuple[SourceDefinition, str]] = []
    checks: list[CheckDefinition] = []
    for one in declared:
        if isinstance(one.definition, AssetDefinition):
            assets.append((one.definition, one.module))
        elif isinstance(one.definition, SourceDefinition):
            sources.append((one.definition, one.module))
        else:
            checks.append(one.definition)
    return assets, sources, checks


def _keys_in_order(declared: Iterable[Collected]) -> Iterator[tuple[str, AssetDefinition | SourceDefinition]]:
    for one in declared:
        definition = one.definition
        if isinstance(definition, SourceDefinition):
            yield definition.key, definition
        elif isinstance(definition, AssetDefinition):
            for out in definition.outputs:
                yield out.key, definition


def _unknown(name: str, what: str, names: Names, where: Location) -> DefinitionError:
    near = near_names(name, names.keys, 1)
    return NotDeclared(
        f"{what} names `{name}`, which is not declared",
        facts=[f"did you mean `{near[0]}`?"] if near else [],
        fix=f"write `{near[0]}`" if near else "declare it, or import the module that does",
        where=where,
    )


def _module_of(file: str, module: str) -> str:
    """The module that a source was written in: it may have been found in one that imports it."""
    path = Path(file)
    if path.suffix != ".py":
        return module
    return path.parent.name if path.stem == "__init__" else path.stem


_NO_DEFAULTS = Defaults()


def _over(above: Defaults, below: Defaults) -> Defaults:
    """These defaults, with those of `below` where these say nothing."""
    return Defaults(
        _first(above.retry, below.retry), _first(above.owners, below.owners), _first(above.io, below.io),
        {**below.tags, **above.tags}, {**below.packages, **above.packages}, above.limits.over(below.limits),
    )  # fmt: skip


def _first(value: T | None, other: T | None) -> T | None:
    return other if value is None else value


def _check_specs(live: LiveOutput, custom: Iterable[_CustomCheck]) -> tuple[CheckSpec, ...]:
    ready = [CheckSpec(check.name, check.blocking) for check in live.ready_checks]
    own = [CheckSpec(c.definition.name, c.definition.blocking, c.definition.description) for c in custom]
    return (*ready, *own)


def _freshness_problems(freshness: Freshness, label: str, where: Location) -> list[DefinitionError]:
    from assetflow.model.zones import is_zone

    problems: list[DefinitionError] = []
    if freshness.by is not None:
        from croniter import croniter

        if not croniter.is_valid(freshness.by):
            what = f"{label}: `{freshness.by}` is not a cron expression"
            fix = "five fields: minute, hour, day, month, weekday, such as `0 8 * * *`"
            problems.append(BadDeclaration(what, fix=fix, where=where))
    if freshness.tz != "UTC" and not is_zone(freshness.tz):
        what = f"{label}: `{freshness.tz}` is not a time zone"
        problems.append(BadDeclaration(what, fix='write a name such as "Europe/London"', where=where))
    return problems


def _absolute(root: Path, path: str) -> str:
    """The path or glob below the project's folder, whose own name is no pattern whatever it contains."""
    if Path(path).is_absolute() or not any(mark in path for mark in "*?["):
        return str(root / path)
    import glob

    return f"{glob.escape(str(root))}/{path}"
