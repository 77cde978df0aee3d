"""Projects of the acceptance scenarios: on real files, through `Project` or through the command line."""

from __future__ import annotations

from tests.unit.conftest import workspace

__all__ = ["workspace"]
