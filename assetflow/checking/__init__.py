"""Looking for what is wrong before it costs anything: the code of assets, and what it gives when it runs again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph

if TYPE_CHECKING:
    from assetflow.checking.findings import StaticReport


class Checking:
    """The verbs of a project that look for trouble. They change nothing."""

    settings: Settings
    graph: AssetGraph

    # -- what the project provides

    def select(self, expression: str | Iterable[str] | None = None) -> tuple[AssetKey, ...]:
        """The assets that a selection names."""
        raise NotImplementedError

    # -- looking

    def check(self, expression: str | Iterable[str] | None = None) -> StaticReport:
        """What the code of the selected assets, and of the helpers that they reach, says against them.

        Types that cannot fit, SQL that cannot be read, and reads of the clock, of chance, of the environment, of the
        network and of files, each with its place. No data is read; user code is imported only when it changed.

        Raises:
            ProjectLoadError: the project does not load; everything that is wrong is in `problems`.
        """
        from assetflow.checking.static import look

        return look(self.settings.root, self.graph, self.select(expression))
