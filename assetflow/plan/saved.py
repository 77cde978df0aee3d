"""Plans in files: what was decided, and all that it rests on, so that exactly that is done later, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from msgspec import Struct

from assetflow.errors import PlanMoved, UsageError
from assetflow.plan.planner import Plan, Step
from assetflow.plan.staleness import input_key

SCHEMA = "assetflow.saved-plan/1"


class SavedPlan(Struct, frozen=True):
    """A plan that was written to a file. `steps` has for each asset what its decision rests on."""

    env: str
    selection: str
    force: bool
    with_upstream: bool
    steps: Mapping[str, Mapping[str, object]]
    partitions: str | None = None
    rebuild: bool = False

    def must_be(self, plan: Plan) -> None:
        """Nothing, when the plan of now decides the same of the same.

        Raises:
            PlanMoved: something is not what it was; the message names it.
            UsageError: the plan is of another environment.
        """
        if plan.env != self.env:
            raise UsageError(
                f"the plan is for env {self.env}, and this is env {plan.env}",
                fix=f"assetflow -e {self.env} materialize",
            )
        now = {str(step.asset): _facts(step) for step in plan}
        moved = [f"{key} {_difference(self.steps[key], now[key])}" for key in now.keys() & self.steps.keys()
                 if self.steps[key] != now[key]]  # fmt: skip
        moved += [f"{key} was not planned" for key in now.keys() - self.steps.keys()]
        moved += [f"{key} is not there any more" for key in self.steps.keys() - now.keys()]
        if moved:
            moved.sort()
            more = [f"and {len(moved) - 8} more"] if len(moved) > 8 else []
            raise PlanMoved(
                "the plan is out of date, and nothing was run", facts=(*moved[:8], *more), fix="make it again and look"
            )


def saved_plan(plan: Plan, *, force: bool, with_upstream: bool, rebuild: bool = False) -> dict[str, object]:
    """The plan as a file holds it: with what each decision rests on, and as `assetflow plan --json` tells it."""
    return {
        "schema": SCHEMA,
        "env": plan.env,
        "selection": plan.selection,
        "force": force,
        "only": not with_upstream,
        **({} if plan.partitions is None else {"partitions": plan.partitions}),
        **({"rebuild": True} if rebuild else {}),
        "steps": {str(step.asset): _facts(step) for step in plan},
        "plan": plan.to_json(),
    }


def read_saved_plan(path: Path) -> SavedPlan:
    """The plan in a file.

    Raises:
        UsageError: there is none, or it is not one that this version can read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a plan: {error}", fix=f"assetflow plan -o {path}") from error
    if not isinstance(found, dict) or (stored := cast("dict[str, object]", found)).get("schema") != SCHEMA:
        raise UsageError(f"{path} is not a plan that this assetflow wrote", fix=f"assetflow plan -o {path}")
    try:
        steps = {str(key): dict(facts) for key, facts in cast("dict[str, dict[str, object]]", stored["steps"]).items()}
        partitions = stored.get("partitions")
        return SavedPlan(
            str(stored["env"]), str(stored["selection"]), bool(stored["force"]), not stored["only"], steps,
            None if partitions is None else str(partitions), bool(stored.get("rebuild")),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not a whole plan", fix=f"assetflow plan -o {path}") from error


def _facts(step: Step) -> dict[str, object]:
    """What a decision rests on, each as one value: equal values are the same decision about the same."""
    head, link = step.head, step.link
    packages = ",".join(f"{name}={version}" for name, version in sorted(step.spec.packages.items()))
    return {
        "action": str(step.action),
        "definition": f"{input_key(step.spec, [])} {packages}".strip(),
        "inputs": [[one.parameter, one.upstream, one.mode, list(one.columns)] for one in step.spec.inputs],
        "version": None if head is None else head.version.number,
        "trace": None if head is None else head.trace.trace_id,
        "link": None if link is None else link.trace.trace_id,
        "token": step.token,
        **({"seen": step.seen} if step.seen else {}),
    }


def _difference(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    if before.get("token") != now["token"]:
        return "has other content"
    if before.get("seen") != now.get("seen"):
        return "opens files that are not what they were"
    if before.get("definition") != now["definition"] or before.get("inputs") != now["inputs"]:
        return "has another definition"
    if before.get("version") != now["version"]:
        return f"is at version {now['version']}, and was at {before.get('version')}"
    if before.get("trace") != now["trace"]:
        return "was made again"
    return f"is planned as {now['action']}, and was as {before.get('action')}"
