"""The schema of `[alerts]` in the project file. Nothing of it ever repeats a `url`, which may hold a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from assetflow.errors import AssetflowError, BadConfig, Location, did_you_mean
from assetflow.model.alerts import EVENTS, events_in, quiet_times
from assetflow.model.durations import seconds
from assetflow.model.keys import parse_label
from assetflow.model.zones import is_zone

PATTERNS = ("asset.*", "tick.*", "*")

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_URL_FORMS = 'write "https://…", an address of apprise such as "slack://…", or "env:NAME" for one in a variable'
_OF_STATE = re.compile(r"\b(is|why|reason|last):")


def _events(value: object) -> object:
    """One event may stand by itself."""
    return [value] if isinstance(value, str) else value


def _event(value: str) -> str:
    if not events_in(value):
        near = did_you_mean(value, (*EVENTS, *PATTERNS))
        raise ValueError(
            f"there is no event `{value}`{f' ({near})' if near else ''}; there are {', '.join((*EVENTS, *PATTERNS))}"
        )
    return value


def _url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"an address is one text; {_URL_FORMS}")
    if value.startswith("env:"):
        if not _VARIABLE.match(value.removeprefix("env:")):
            raise ValueError(f"`env:` is followed by the name of a variable; {_URL_FORMS}")
        return value
    scheme, colon, rest = value.partition("://")
    if not colon or not rest or not _SCHEME.match(scheme):
        raise ValueError(f"this is not an address; {_URL_FORMS}")  # without the value, which may hold a secret
    return value


def _selection(value: str) -> str:
    from assetflow.plan.selection import parse_selection

    found = _OF_STATE.search(value)
    if found:
        raise ValueError(f"`{found[0]}` changes from run to run; select by what is declared, such as tag: or group:")
    try:
        parse_selection(value)
    except AssetflowError as error:
        raise ValueError(error.what) from error
    return value


def _quiet(value: str) -> str:
    quiet_times(value)
    return value


def _zone(value: str) -> str:
    if value == "local" or not is_zone(value):
        raise ValueError(f'`{value}` is not the name of a time zone; write "Europe/London" or "UTC"')
    return value


def _environment(value: str) -> str:
    try:
        return parse_label(value, "environment")
    except AssetflowError as error:
        raise ValueError(error.what) from error


def _repeat(value: object) -> object:
    return None if value is None else seconds(cast("str | float", value))


class ChannelSettings(BaseModel):
    """One table `[alerts.NAME]`; every key may be left out in one of the files."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    on: Annotated[
        list[Annotated[str, AfterValidator(_event)]] | None, BeforeValidator(_events), Field(min_length=1)
    ] = None
    assets: Annotated[str, AfterValidator(_selection)] | None = None
    url: Annotated[str | None, BeforeValidator(_url)] = None
    command: Annotated[list[str], Field(min_length=1)] | None = None
    quiet: Annotated[str, AfterValidator(_quiet)] | None = None
    tz: Annotated[str, AfterValidator(_zone)] | None = None
    repeat: Annotated[float | None, BeforeValidator(_repeat), Field(ge=60)] = None
    recovered: bool | None = None
    env: Annotated[str, AfterValidator(_environment)] | None = None
    enabled: bool | None = None


def channel_problems(
    channels: Mapping[str, Mapping[str, object]], origins: Mapping[str, str]
) -> list[BadConfig]:  # fmt: skip
    """The channels that have no address in any of the files, or two."""
    problems: list[BadConfig] = []
    for name, channel in channels.items():
        given = [key for key in ("url", "command") if key in channel]
        if len(given) == 1:
            continue
        what = "has both `url` and `command`" if given else "has neither `url` nor `command`"
        fix = "keep one of them, or make two channels" if given else f"{_URL_FORMS}; or command = [...]"
        known = next((text for key, text in origins.items() if key.startswith(f"alerts.{name}.")), "")
        file, _, line = known.rpartition(":")
        where = Location(file, int(line)) if file and line.isdigit() else None
        problems.append(BadConfig(f"the alert channel `{name}` {what}", fix=fix, where=where))
    return problems
