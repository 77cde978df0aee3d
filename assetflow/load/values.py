"""The values of `Config` classes: from the project file, from `--set`, validated field by field, as canonical text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from assetflow.errors import BadConfig, BadDeclaration, DefinitionError, Location, did_you_mean
from assetflow.load.settings import Settings

if TYPE_CHECKING:
    from assetflow.model.settings import Config, Resource

Tables = Mapping[str, Mapping[str, object]]


class ConfigTables:
    """The config tables of all assets, by key, with what is left over in the end."""

    def __init__(self, settings: Settings | None, overrides: Tables, keys: Iterable[str]) -> None:
        self._settings = settings
        self._overrides = overrides
        self._keys = dict.fromkeys(keys)
        self._used: set[str] = set()
        self._file = self._by_key({} if settings is None else settings.config)

    def of(self, keys: Iterable[str]) -> dict[str, tuple[object, tuple[str, ...] | None]]:
        """The fields given for these assets: value and path in the settings (None when it came from `--set`)."""
        found: dict[str, tuple[object, tuple[str, ...] | None]] = {}
        for tables, from_file in ((self._file, True), (self._overrides, False)):
            for key in keys:
                self._used.add(key)
                for name, value in tables.get(key, {}).items():
                    found[name] = (value, ("config", key, name) if from_file else None)
        return found

    def place(self, path: tuple[str, ...] | None) -> Location | None:
        """Where in a file a value stands."""
        return None if path is None or self._settings is None else self._settings.place(*path)

    def left_over(self) -> list[DefinitionError]:
        """Problems for tables of assets that do not exist or take no config."""
        problems: list[DefinitionError] = []
        for tables, from_file in ((self._file, True), (self._overrides, False)):
            for key in tables:
                if key in self._used:
                    continue
                where = self.place(("config", key, *list(tables[key])[:1])) if from_file else None
                what = f"[config.{key}]" if from_file else f"--set {key}.…"
                if key in self._keys:
                    fix = "give the function a parameter annotated with a Config class, or take the table out"
                    problems.append(BadConfig(f"{what}: asset `{key}` takes no config", fix=fix, where=where))
                else:
                    near = did_you_mean(key, self._keys)
                    facts = [near] if near else []
                    problems.append(BadConfig(f"{what}: there is no asset `{key}`", facts=facts, where=where))
        return problems

    def _by_key(self, config: Tables) -> dict[str, Mapping[str, object]]:
        """Tables by asset key: `[config.marts.orders]` is a table in a table, and means the asset `marts.orders`."""
        schemas = {key.partition(".")[0] for key in self._keys if "." in key}
        found: dict[str, Mapping[str, object]] = {}
        for name, table in config.items():
            if name in schemas and name not in self._keys:
                tables = cast("Mapping[str, Mapping[str, object]]", table)
                found.update({f"{name}.{key}": inner for key, inner in tables.items()})
            else:
                found[name] = table
        return found


def make_config(
    cls: type[Config], label: str, keys: Iterable[str], tables: ConfigTables, problems: list[DefinitionError]
) -> Config | None:
    """The validated config, or None after its problems went to `problems`."""
    from pydantic import ValidationError

    given = tables.of(keys)
    try:
        return cls.model_validate({name: value for name, (value, _) in given.items()})
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):  # an input may be a secret
            name = ".".join(str(part) for part in one["loc"]) or cls.__name__
            field = str(one["loc"][0]) if one["loc"] else ""
            where = tables.place(given[field][1]) if field in given else None
            problems.append(_field_problem(cls, label, name, one["type"], one["msg"], where))
    return None


def _field_problem(
    cls: type[Config], label: str, name: str, kind: str, message: str, where: Location | None
) -> BadConfig:
    if kind == "missing":
        fix = f"set it under [config] in the project file, with --set, or give `{cls.__name__}.{name}` a default"
        return BadConfig(f"{label}: config field `{name}` has no value", fix=fix, where=where)
    if kind == "extra_forbidden":
        near = did_you_mean(name, cls.model_fields)
        facts = [near or f"fields of {cls.__name__}: {', '.join(cls.model_fields) or 'none'}"]
        return BadConfig(f"{label}: `{cls.__name__}` has no field `{name}`", facts=facts, where=where)
    text = message.removeprefix("Value error, ")
    return BadConfig(f"{label}: config field `{name}`: {text[:1].lower()}{text[1:]}", where=where)


def config_texts(config: Config, label: str, where: Location, problems: list[DefinitionError]) -> dict[str, str]:
    """The canonical text of each field, and of what `extra="allow"` let in.

    Without secrets and fields marked `fingerprint: False`.
    """
    from pydantic import SecretBytes, SecretStr
    from pydantic_core import PydanticSerializationError

    from assetflow.load.canonical import field_text

    found: dict[str, str] = {}
    declared = type(config).model_fields
    others = config.model_extra or {}
    for name in (*declared, *others):
        value = others[name] if name in others else getattr(config, name)
        extra = cast("object", declared[name].json_schema_extra) if name in declared else None
        if isinstance(value, (SecretStr, SecretBytes)):
            continue
        if isinstance(extra, dict) and cast("dict[str, object]", extra).get("fingerprint") is False:
            continue
        try:
            found[name] = field_text(config, name)
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            what = f"{label}: config field `{name}` cannot be written as JSON, so a change could not be noticed"
            problems.append(BadDeclaration(what, facts=[str(error)], where=where))
    return found


def resource_tables(
    settings: Settings | None, classes: Iterable[type[Resource]], problems: list[DefinitionError]
) -> dict[type[Resource], Mapping[str, object]]:
    """The table of each resource class; tables and fields that fit none go to `problems`."""
    by_name = {cls.__name__: cls for cls in classes}
    given: Tables = {} if settings is None else settings.resources
    for name, table in given.items():
        cls = by_name.get(name)
        where = settings.place("resources", name, *list(table)[:1]) if settings else None
        if cls is None:
            near = did_you_mean(name, by_name)
            facts = [near] if near else []
            problems.append(BadConfig(f"[resources.{name}]: no asset takes such a resource", facts=facts, where=where))
            continue
        for key in table:
            if key not in cls.model_fields:
                near = did_you_mean(key, cls.model_fields)
                what = f"[resources.{name}]: `{name}` has no field `{key}`"
                place = settings.place("resources", name, key) if settings else None
                problems.append(BadConfig(what, facts=[near] if near else [], where=place))
    return {cls: given.get(name, {}) for name, cls in by_name.items()}
