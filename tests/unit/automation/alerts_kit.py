"""What tests of alerts share: a channel that writes down what it is told, and rounds of sending at a given time."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from assetflow.automation.alerts import look
from assetflow.automation.delivery import Round, deliver
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.outbox import Outbox
from assetflow.load.settings import Settings, read_settings
from assetflow.model.alerts import Alert, Message

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import Workspace

PATIENCE_S = 30.0


def command(name: str = "told.jsonl") -> str:
    """The key `command` of a channel that adds each message to a file."""
    return f'command = ["/bin/sh", "-c", "cat >> {name}; echo >> {name}"]\n'


def channel(name: str = "team", more: str = "", file: str = "told.jsonl") -> str:
    return f"[alerts.{name}]\n{command(file)}{more}\n"


def told(root: Path, name: str = "told.jsonl") -> list[dict[str, Any]]:
    """The messages that a channel got, in order."""
    path = root / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def titles(root: Path, name: str = "told.jsonl") -> list[str]:
    return [message["title"].partition("] ")[2] for message in told(root, name)]


def alerts(shop: Workspace) -> list[Alert]:
    """All alerts, newest first."""
    with closing(Catalog(_settings(shop).catalog_path)) as catalog:
        return Outbox(catalog).alerts(100)


def waiting(shop: Workspace) -> list[Message]:
    with closing(Catalog(_settings(shop).catalog_path)) as catalog:
        return Outbox(catalog).waiting()


def send(shop: Workspace, now: float) -> Round:
    return deliver(_settings(shop), now, PATIENCE_S)


def look_around(shop: Workspace, now: float) -> None:
    """What a round sees of the project at a time."""
    project = shop.project()
    look(project.settings, project.graph.specs.values(), project.status(now=now), now)


def _settings(shop: Workspace) -> Settings:
    return read_settings(shop.root, environment={})
