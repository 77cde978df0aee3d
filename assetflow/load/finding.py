"""Where a project is, and what its settings were the last time, for those who import nothing else.

`settings` says what is wrong with a project; here whatever is not plain is no answer.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import cast

from assetflow.fingerprint.hashing import digest
from assetflow.load.sealed import unsealed

FILE = "assetflow.toml"
LOCAL_FILE = "assetflow.local.toml"
ENVIRONMENT_KEYS = (
    "env", "io", "executor", "workers", "stop_grace", "storage", "catalog", "duckdb", "hive", "warehouse", "modules",
    "name", "tz", "allow_pickle", "hash", "discover", "log_limit",
)  # fmt: skip
"""The keys that an environment variable sets, such as `ASSETFLOW_IO`."""

TABLE = re.compile(rb"(?m)^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*[\"']?assetflow[\"']?[ \t]*[\].]")
"""What makes a `pyproject.toml` the file of a project."""

CACHE_FORMAT = 4
OPEN_KEYS = ("env", "modules", "tz")
"""The settings that the short way needs. Others may be secret, and lie locked in the cache: see `locked`."""


class Found:
    """A project as the cache of its settings has it. `values` are those of `OPEN_KEYS` that are not default."""

    __slots__ = ("has_alerts", "key", "root", "values")

    def __init__(self, root: str, key: str, values: Mapping[str, object], *, has_alerts: bool) -> None:
        self.root, self.key, self.values, self.has_alerts = root, key, values, has_alerts

    @property
    def env(self) -> str:
        """The environment."""
        return str(self.values.get("env", "dev"))


def found(start: str | None, overrides: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Found | None:
    """The project around a folder (default: the working directory); None when that takes more than a look."""
    if start is not None and ".." in start:
        return None  # where that leads, links have a say in
    try:
        folder = os.getcwd() if start is None else os.path.abspath(start)  # noqa: PTH100, PTH109
        while True:
            own = os.path.isfile(f"{folder}{os.sep}{FILE}")  # noqa: PTH113
            shared = _content(f"{folder}{os.sep}pyproject.toml")
            has_table = shared is not None and TABLE.search(shared) is not None
            if own or has_table:
                break
            if (above := os.path.dirname(folder)) == folder:  # noqa: PTH120
                return None
            folder = above
        if own and has_table:
            return None
        name = FILE if own else "pyproject.toml"
        contents = [(one, _content(f"{folder}{os.sep}{one}")) for one in (name, LOCAL_FILE)]
        key = settings_key(folder, contents, overrides, variables_in(environment))
        entry = read_entries(f"{folder}{os.sep}.assetflow{os.sep}cache{os.sep}settings.json").get(key)
        if entry is None:
            return None
        values = cast("Mapping[str, object]", entry["open"])
        return Found(folder, key, values, has_alerts=bool(entry["has_alerts"]))
    except (OSError, KeyError):
        return None


def variables_in(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that environment variables give, by key."""
    names = {key: f"ASSETFLOW_{key.upper()}" for key in ENVIRONMENT_KEYS}
    return {key: environment[name] for key, name in names.items() if name in environment}


def settings_key(
    root: str,
    contents: Sequence[tuple[str, bytes | None]],
    overrides: Mapping[str, str],
    variables: Mapping[str, str],
) -> str:
    """The digest of all that settings are made of: the files by their names, flags and variables."""
    from assetflow import __version__

    facts = [__version__, root, sorted(overrides.items()), sorted(variables.items())]
    texts = {name: text for name, text in contents if text is not None}
    parts = (part for name in texts for part in (name.encode(), texts[name]))
    return digest("settings", json.dumps(facts).encode(), *parts)


def read_entries(path: str) -> dict[str, dict[str, object]]:
    """The settings that were worked out before, by the digest of what they were made of.

    Of each: `open` are those that anybody may see, `locked` all, and `has_alerts` says that there are channels.
    """
    try:
        with open(path, "rb") as stream:
            stored = json.loads(unsealed(stream.read()))
        if stored["format"] == CACHE_FORMAT and all(isinstance(entry, dict) for entry in stored["entries"].values()):
            return cast("dict[str, dict[str, object]]", stored["entries"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return {}


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
