"""What was accepted is revoked also when there is nothing left to go back to."""

from __future__ import annotations

import shutil

from tests.unit.conftest import Workspace


def test_an_acceptance_of_a_version_that_is_lost_can_be_revoked(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef orders() -> int:\n    return 1\n")
    workspace.materialize().raise_for_status()
    workspace.edit("return 1", "return 2 - 1")
    project = workspace.project()
    project.accept("orders", reason="the same")
    head = project.plan()["orders"].head
    assert head is not None
    shutil.rmtree(project.settings.storage_path / head.version.location)
    project.mend(project.doctor())

    found = project.revoke("orders", reason="not the same")

    assert found.assets == (("orders", 1),)
    [step] = workspace.project().plan().run
    assert {reason.code for reason in step.reasons} == {"data_missing", "invalidated"}
    assert workspace.outcomes() == {"orders": "materialized"}
    assert workspace.project().plan().is_empty
    assert project.revoke("orders").left == (("orders", "nothing of it was accepted"),)
