"""`Config`, `Resource` and `Secret`: validated settings of assets and of what they use, built on pydantic.

This is the only module of the vocabulary that imports pydantic, so that declaring assets without settings does not.
"""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, SecretStr

from assetflow.model.secrets import SECRETS


class Config(BaseModel):
    """Settings of one asset: `def rates(config: RatesConfig)`. Changing a value makes the asset stale.

    Values come from the class's defaults, `[tool.assetflow.config.<asset key>]`, and `--set asset.field=value`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(SecretStr):
    """Text that never shows itself: `str()` and `repr()` give stars, and it is left out of fingerprints.

    Runs put stars in its place in all that assets print, log, raise and record, if it has at least 6 characters.
    """

    def __init__(self, secret_value: str) -> None:
        super().__init__(secret_value)
        SECRETS.add(secret_value)

    def reveal(self) -> str:
        """The text itself."""
        return self.get_secret_value()


class Resource(BaseModel):
    """Something that assets use, such as a client or a connection, with settings from the environment.

    Field `base_url` of `class HttpClient(Resource)` is read from `HTTP_CLIENT_BASE_URL`, then from
    `[tool.assetflow.resources.HttpClient]`, then from the class's default. `set_up` runs before the first asset of a
    run that takes the resource and `tear_down` at the end of the run. One object serves all assets of a run, so it must
    be safe to use from several threads.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    def set_up(self) -> None:
        """Open what the resource needs. The default does nothing."""

    def tear_down(self) -> None:
        """Close what `set_up` opened. It runs also when assets failed. The default does nothing."""

    def __enter__(self) -> Self:
        self.set_up()
        return self

    def __exit__(self, *_: object) -> None:
        self.tear_down()

    @classmethod
    def environment_name(cls, field: str) -> str:
        """The environment variable of a field: `HTTP_CLIENT_BASE_URL` for `HttpClient.base_url`."""
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__)
        return f"{prefix}_{field}".upper()
