"""The serializable description of a project: what graph, planner, screens and manifest see instead of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from assetflow.model.auto import Auto
from assetflow.model.code import CodeNote, note_from_json, note_to_json
from assetflow.model.keys import AssetKey
from assetflow.model.policies import Cue, Freshness, Limits

if TYPE_CHECKING:
    from assetflow.partitions.definition import Definition as Partitions
    from assetflow.partitions.mappings import Mapping as PartitionMapping, Needs


class InputSpec(Struct, frozen=True):
    """One edge of the lineage: the asset takes `upstream` by the parameter `parameter` (empty for `deps`).

    mode: `value` depends on the whole table, `columns` on the listed columns and the row count, `order` on nothing but
    having been built before (also what checks read), `version` on the token of a source without loading it. `accept` is
    `last_good` where an earlier version of an upstream does that cannot be built. `window` says which partitions of an
    upstream with the same ones, from the first to the last beside the own one; `partitions` says it otherwise, and
    `need` how many of them must exist. `optional`: it may be none, because the parameter has a default.
    """

    parameter: str
    upstream: AssetKey
    mode: str = "value"
    columns: tuple[str, ...] = ()
    accept: str = ""
    window: tuple[int, int] = (0, 0)
    partitions: PartitionMapping | None = None
    need: Needs | None = None
    optional: bool = False

    @property
    def looks_back(self) -> bool:
        """Whether all partitions that it takes come before the own one, so that an asset may take itself."""
        if self.partitions is None:
            return self.window[1] < 0
        return self.partitions.looks_back

    def on(self, upstream: AssetKey) -> InputSpec:
        """The same input, of one partition of its upstream."""
        return _on(self, upstream)


@lru_cache(maxsize=4096)  # neighbours read the same partitions: they share the inputs
def _on(given: InputSpec, upstream: AssetKey) -> InputSpec:
    return InputSpec(given.parameter, upstream, given.mode, given.columns, given.accept)


class CheckSpec(Struct, frozen=True):
    """A check as screens and records know it."""

    name: str
    blocking: bool
    description: str = ""


class SourceSpec(Struct, frozen=True):
    """How a source is observed: by the content of `path` (absolute, maybe a glob), or by a function's token."""

    path: str | None
    format: str
    ttl_s: float | None
    options: Mapping[str, object]
    has_token: bool
    has_as_of: bool
    loadable: bool


class AssetSpec(Struct, frozen=True):
    """Everything that is known of an asset or a source without its function.

    `node` names the function that makes it: the outputs of one `@assets` function share it. `kind` is `asset` or
    `source`; `kinds` are badges such as `pandas`, `duckdb`, `csv`. `config` holds the canonical JSON text of each
    config field. `code` is the code fingerprint, and `code_parts` the digest of each function or constant it is made
    of, by name; `code_notes` say what of it could not be seen exactly. `code_version`, where it is declared, stands for
    the code. `packages` are the versions of the distributions that the code reaches, and `package_policy` says for each
    (`*`: for all others) which change counts. `files` maps what `files=` declares to the digest of its content, and
    `env_vars` what `env=` declares to a keyed digest of its value: both are empty texts until somebody looked. `limits`
    (also `partitions` and `auto`) is None where nothing is said. In a graph of slots `key` and `node` name a partition.
    """

    key: AssetKey
    kind: str
    node: str
    inputs: tuple[InputSpec, ...]
    group: str
    owners: tuple[str, ...]
    tags: Mapping[str, str]
    description: str
    io: str
    file: str
    line: int
    code: str = ""
    code_parts: Mapping[str, str] | None = None
    config: Mapping[str, str] | None = None
    checks: tuple[CheckSpec, ...] = ()
    freshness: Freshness | None = None
    kinds: tuple[str, ...] = ()
    source: SourceSpec | None = None
    retries: int = 0
    code_notes: tuple[CodeNote, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    env_vars: Mapping[str, str] = field(default_factory=dict[str, str])
    code_version: str | None = None
    package_policy: Mapping[str, str] = field(default_factory=dict[str, str])
    cue: Cue | None = None
    limits: Limits | None = None
    partitions: Partitions | None = None
    auto: Auto | None = None

    @property
    def is_source(self) -> bool:
        """Whether the asset is made elsewhere and only observed."""
        return self.kind == "source"


_OPTIONAL: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("owners", list), ("tags", dict), ("description", lambda text: text), ("code_parts", dict), ("config", dict),
    ("kinds", list), ("checks", lambda checks: [[one.name, one.blocking, one.description] for one in checks]),
    ("retries", lambda times: times), ("code_notes", lambda notes: [note_to_json(one) for one in notes]),
    ("packages", dict), ("files", list), ("env_vars", list), ("package_policy", dict),
)  # fmt: skip
"""What most specs say little of, and how it is told."""


def spec_to_json(spec: AssetSpec) -> dict[str, object]:
    """The spec as JSON-able values, without what is empty."""
    found: dict[str, object] = {
        "key": spec.key, "kind": spec.kind, "node": spec.node, "group": spec.group, "io": spec.io,
        "file": spec.file, "line": spec.line, "code": spec.code,
        "inputs": [
            [i.parameter, i.upstream, i.mode, list(i.columns), *_rest(i)] for i in spec.inputs
        ],
    }  # fmt: skip
    for name, form in _OPTIONAL:
        if value := getattr(spec, name):
            found[name] = form(value)
    if spec.freshness is not None:
        policy = spec.freshness
        found["freshness"] = [policy.within_s, policy.by, policy.tz, policy.warn_s]
    if spec.code_version is not None:
        found["code_version"] = spec.code_version
    if spec.limits is not None:
        found["limits"] = spec.limits.to_json()
    if spec.cue is not None:
        found["cue"] = spec.cue.to_json()
    if spec.partitions is not None:
        found["partitions"] = spec.partitions.to_json()
    if spec.auto is not None:
        found["auto"] = spec.auto.to_json()
    if spec.source is not None:
        s = spec.source
        found["source"] = [s.path, s.format, s.ttl_s, dict(s.options), s.has_token, s.has_as_of, s.loadable]
    return found


def spec_from_json(found: Mapping[str, object]) -> AssetSpec:
    """The spec that `spec_to_json` wrote."""
    from typing import cast

    get = cast("dict[str, Any]", found).get
    freshness, origin, cue, bounds, auto = (get(name) for name in ("freshness", "source", "cue", "limits", "auto"))
    partitions: Partitions | None = None
    if "partitions" in found:
        from assetflow.partitions.forms import definition_from_json

        partitions = definition_from_json(get("partitions", {}))
    return AssetSpec(
        key=AssetKey(get("key", "")), kind=get("kind", ""), node=get("node", ""),
        inputs=tuple(_input(one) for one in get("inputs", ())), partitions=partitions,
        group=get("group", ""), owners=tuple(get("owners", ())), tags=get("tags", {}),
        description=get("description", ""),
        io=get("io", ""), file=get("file", ""), line=get("line", 0), code=get("code", ""),
        code_parts=get("code_parts"), config=get("config"), kinds=tuple(get("kinds", ())),
        checks=tuple(CheckSpec(*one) for one in get("checks", ())), retries=get("retries", 0),
        code_notes=tuple(note_from_json(one) for one in get("code_notes", ())), packages=get("packages", {}),
        files=dict.fromkeys(get("files", ()), ""), env_vars=dict.fromkeys(get("env_vars", ()), ""),
        code_version=get("code_version"), package_policy=get("package_policy", {}),
        cue=None if cue is None else Cue(**cue), limits=None if bounds is None else Limits(**bounds),
        freshness=None if freshness is None
        else Freshness(within=freshness[0], by=freshness[1], tz=freshness[2], warn=freshness[3]),
        source=None if origin is None else SourceSpec(*origin), auto=None if auto is None else Auto(*auto),
    )  # fmt: skip


def _rest(given: InputSpec) -> list[object]:
    """What most inputs say nothing of."""
    more: dict[str, object] = {}
    if given.partitions is not None:
        more["partitions"] = given.partitions.to_json()
    if given.need is not None:
        more["need"] = given.need
    if given.optional:
        more["optional"] = True
    if given.window != (0, 0) or more:
        return [given.accept, *given.window, *([more] if more else ())]
    return [given.accept] if given.accept else []


def _input(values: list[Any]) -> InputSpec:
    parameter, upstream, mode, columns, *rest = values
    accept = str(rest[0]) if rest else ""
    window = (int(rest[1]), int(rest[2])) if len(rest) > 1 else (0, 0)
    more: dict[str, Any] = rest[3] if len(rest) > 3 else {}
    mapping: PartitionMapping | None = None
    if "partitions" in more:
        from assetflow.partitions.forms import mapping_from_json

        mapping = mapping_from_json(more["partitions"])
    return InputSpec(
        parameter, AssetKey(upstream), mode, tuple(columns), accept, window, mapping, more.get("need"),
        bool(more.get("optional")),
    )  # fmt: skip
