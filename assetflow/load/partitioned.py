"""What is wrong with how a project declares partitions: found when it is loaded, and not in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assetflow.errors import AssetflowError, BadDeclaration, DefinitionError, Location
from assetflow.load.live import Batch, Binding, LiveNode
from assetflow.load.settings import Settings
from assetflow.model.declare import AssetDefinition, SourceDefinition
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec


def partition_problems(
    specs: Iterable[AssetSpec], nodes: Mapping[str, LiveNode], settings: Settings | None
) -> list[DefinitionError]:
    """A problem for each input whose partitions do not go together, and for what partitions cannot do yet."""
    is_native = settings is not None and settings.duckdb == "native"
    by_key = {spec.key: spec for spec in specs}
    inputs = (given for spec in by_key.values() for given in spec.inputs)
    if not any(spec.partitions for spec in by_key.values()) and not any(map(_said, inputs)):
        return []
    found: list[DefinitionError] = []
    for spec in by_key.values():
        where = Location(spec.file, spec.line)
        if spec.partitions is not None and spec.io == "duckdb" and is_native:
            what = f"asset `{spec.key}` has partitions, which are stored as Parquet and not as tables of DuckDB"
            fix = 'write duckdb = "views" in the project file, or leave out io="duckdb": DuckDB reads the files'
            found.append(BadDeclaration(what, fix=fix, where=where))
        for given in spec.inputs:
            if (problem := _problem(spec, given, by_key[given.upstream])) is not None:
                fix = problem.fix or "give both the same partitions"
                found.append(BadDeclaration(f"asset `{spec.key}`: {problem.what}", fix=fix, where=where))
    found += [one for node in nodes.values() for one in _check_problems(node, by_key)]
    return found


def inputs_of(definition: AssetDefinition, bindings: Iterable[Binding]) -> list[InputSpec]:
    """The inputs that the parameters of a function are; one that is the asset itself is its previous partition."""
    found: list[InputSpec] = []
    own = {out.key for out in definition.outputs} if definition.partitions is not None else set[str]()
    for one in bindings:
        if one.upstream is None:
            continue
        mapping = one.partitions
        if one.upstream in own and mapping is None and one.window == (0, 0):
            from assetflow.partitions.mappings import Previous

            mapping = Previous()
        mode = "columns" if one.columns else "value"
        found.append(
            InputSpec(
                one.parameter, one.upstream, mode, one.columns or (), one.accept, one.window, mapping, one.need,
                one.optional,
            )
        )  # fmt: skip
    return found


def batch_of(definition: AssetDefinition) -> Batch | None:
    """What is made in one call, where an asset has partitions and says so."""
    if definition.batch is None or definition.partitions is None:
        return None
    return Batch(definition.batch.size, definition.batch.columns, definition.partitions)


def batch_problems(definition: AssetDefinition, inputs: Iterable[InputSpec], where: Location) -> list[DefinitionError]:
    """What is wrong with how an asset makes several partitions in one call."""
    if definition.batch is None:
        return []
    label, fix = f"asset `{definition.outputs[0].key}`", 'name the column: @asset(batch=True, partition_column="day")'
    if definition.partitions is None:
        return [BadDeclaration(f"{label} has batch=, but no partitions", fix="leave it out", where=where)]
    from assetflow.partitions.cells import columns_problem

    if (problem := columns_problem(definition.partitions, definition.batch.columns)) is not None:
        return [BadDeclaration(f"{label}: {problem}", fix=fix, where=where)]
    if any(given.upstream == definition.outputs[0].key for given in inputs):
        what = f"{label} goes on from its partition before, so that a call cannot make several"
        return [BadDeclaration(what, fix="leave out batch=", where=where)]
    return []


def source_problems(definition: SourceDefinition, where: Location) -> list[DefinitionError]:
    """What is wrong with the places that the path of a source has for its partitions."""
    if definition.path is None or definition.partitions is None:
        return []
    from assetflow.partitions.paths import path_problem

    problem = path_problem(definition.path, definition.partitions)
    fix = "write the key of the partition into the path: data/{partition}.csv, or a place for each axis"
    return [] if problem is None else [BadDeclaration(f"source `{definition.key}`: {problem}", fix=fix, where=where)]


def _said(given: InputSpec) -> str:
    """What an input says of partitions, as it is written; the empty text when nothing is."""
    if given.need is not None:
        return "In(need=)"
    if given.window != (0, 0):
        return "In(window=)"
    return "In(partitions=)" if given.partitions is not None else ""


def _problem(spec: AssetSpec, given: InputSpec, upstream: AssetSpec) -> AssetflowError | None:
    said = _said(given)
    without = upstream if upstream.partitions is None else spec if spec.partitions is None else None
    if without is not None and said and not (without is spec and said == "In(partitions=)"):
        fix = f"leave it out, or give `{without.key}` partitions"
        return BadDeclaration(f"{said} of `{given.upstream}`, but `{without.key}` has no partitions", fix=fix)
    if upstream.partitions is None or (not said and without is not None):
        return None
    from assetflow.partitions.mappings import Previous
    from assetflow.plan.slots import mapping_of

    if isinstance(given.partitions, Previous) and upstream.node != spec.node:
        what = f"Previous() is the asset's own partition before this one, and `{given.upstream}` is another asset"
        return BadDeclaration(what, fix="take the one before of another asset with In(window=(-1, -1))")
    try:
        mapping_of(given, upstream.partitions, spec.partitions)
    except AssetflowError as error:
        return error
    return None


def _check_problems(node: LiveNode, by_key: Mapping[AssetKey, AssetSpec]) -> Iterable[DefinitionError]:
    own = {output.key for output in node.outputs}
    for output in node.outputs:
        for key in node.checked_against():
            other = by_key.get(key)
            if key not in own and other is not None and other.partitions is not None:
                spec = by_key[output.key]
                yield BadDeclaration(
                    f"a check of `{output.key}` reads `{key}`, which has partitions",
                    fix=f"take `{key}` as a parameter of `{output.key}`, and check there",
                    where=Location(spec.file, spec.line),
                )
                return
