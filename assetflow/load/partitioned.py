"""What is wrong with how a project declares partitions: found when it is loaded, and not in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assetflow.errors import AssetflowError, BadDeclaration, DefinitionError, Location
from assetflow.load.live import LiveNode
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec


def partition_problems(specs: Iterable[AssetSpec], nodes: Mapping[str, LiveNode]) -> list[DefinitionError]:
    """A problem for each input whose partitions do not go together, and for what partitions cannot do yet."""
    by_key = {spec.key: spec for spec in specs}
    windows = (given.window for spec in by_key.values() for given in spec.inputs)
    if not any(spec.partitions for spec in by_key.values()) and not any(one != (0, 0) for one in windows):
        return []
    found: list[DefinitionError] = []
    for spec in by_key.values():
        where = Location(spec.file, spec.line)
        if spec.partitions is not None and spec.io == "duckdb":
            what = f"asset `{spec.key}` has partitions, which are stored as Parquet only"
            found.append(BadDeclaration(what, fix='leave out io="duckdb"; DuckDB reads the files', where=where))
        for given in spec.inputs:
            if (problem := _problem(spec, given, by_key[given.upstream])) is not None:
                fix = problem.fix or "give both the same partitions"
                found.append(BadDeclaration(f"asset `{spec.key}`: {problem.what}", fix=fix, where=where))
    found += [one for node in nodes.values() for one in _check_problems(node, by_key)]
    return found


def _problem(spec: AssetSpec, given: InputSpec, upstream: AssetSpec) -> AssetflowError | None:
    if upstream.partitions is None or spec.partitions is None:
        if given.window != (0, 0):
            one = upstream if upstream.partitions is None else spec
            return BadDeclaration(f"In(window=) of `{given.upstream}`, but `{one.key}` has no partitions")
        return None
    from assetflow.plan.slots import mapping_of

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
