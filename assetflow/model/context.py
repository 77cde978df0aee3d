"""What an asset function can ask about the run it is part of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

    from assetflow.model.keys import AssetKey


@dataclass(frozen=True, slots=True)
class Context:
    """Take it as a parameter: `def orders(raw: pd.DataFrame, context: Context)`.

    `log` writes to the log of this attempt (`assetflow logs`); `run_id` is None outside a project; `attempt` counts
    from 1.
    """

    asset_key: AssetKey
    log: Logger
    run_id: int | None = None
    env: str = "dev"
    attempt: int = 1
    metadata: dict[str, object] = field(default_factory=dict[str, object])

    def add_metadata(self, **values: object) -> None:
        """Record JSON-able values with the version, as `Result(metadata=...)` does."""
        self.metadata.update(values)
