"""Which assets the channels of alerts are for: their selections, looked up among what is declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from assetflow.errors import AssetflowError, BadDeclaration
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph

if TYPE_CHECKING:
    from assetflow.model.alerts import Channel


class Audience:
    """Who is told of which assets. Selections are looked up when the first channel is asked about."""

    def __init__(self, specs: Iterable[AssetSpec], saved: Mapping[str, str]) -> None:
        self._specs, self._saved = specs, saved
        self._graph: AssetGraph | None = None
        self._found: dict[str, frozenset[AssetKey] | None] = {}

    def is_for(self, channel: Channel, assets: Iterable[str]) -> bool:
        """Whether one of the assets is of the channel's. A channel whose selection fits nothing any more hears all."""
        if not channel.assets:
            return True
        if channel.assets not in self._found:
            self._found[channel.assets] = self._select(channel.assets)
        chosen = self._found[channel.assets]
        return chosen is None or not chosen.isdisjoint(assets)

    def _select(self, text: str) -> frozenset[AssetKey] | None:
        from assetflow.plan.selection import parse_selection

        try:
            self._graph = self._graph or AssetGraph(tuple(self._specs))
            return frozenset(parse_selection(text).select(self._graph, DeclaredFacts(self._saved)))
        except AssetflowError:  # `assetflow check` says what is wrong with it; until then rather too much than nothing
            return None


class DeclaredFacts:
    """The facts that selections of hooks and alerts may ask for: those that are known when the project is loaded."""

    def __init__(self, saved: Mapping[str, str]) -> None:
        self._saved = saved

    def state(self) -> Mapping[AssetKey, frozenset[str]]:
        """Refused."""
        raise _changing("is:")

    def reasons(self) -> Mapping[AssetKey, frozenset[str]]:
        """Refused."""
        raise _changing("reason:")

    def saved(self) -> Mapping[str, str]:
        """The saved selections by name."""
        return self._saved

    def last(self) -> Mapping[AssetKey, str]:
        """Refused."""
        raise _changing("last:")


def _changing(word: str) -> BadDeclaration:
    return BadDeclaration(f"`{word}` changes from run to run", fix="select by what is declared, such as tag: or group:")
