"""A plan held against the reference: the same sets, and reasons that are true and complete."""

from __future__ import annotations

from assetflow.plan.planner import Plan, Step
from assetflow.plan.staleness import Action, Reason
from tests.model.model import FAILS, Model
from tests.model.story import Answer, Question

CODE = ("code_changed", "helper_changed")


class Disagreement(AssertionError):
    """Assetflow and the reference do not say the same."""


def compare(plan: Plan, model: Model, asked: Question, *, with_failures: bool = True) -> None:
    """Raise unless the plan says what the reference says of this question."""
    answers = {key: model.answer(key, asked) for key in model.members(asked)}
    told = {str(key): str(step.action) for key, step in plan.steps.items()}
    meant = {key: answer.action for key, answer in answers.items()}
    if told != meant:
        differing = {
            key: f"plan {told.get(key)}, reference {meant.get(key)}"
            for key in sorted(told.keys() | meant.keys())
            if told.get(key) != meant.get(key)
        }
        reasons = {str(step.asset): [reason.text for reason in step.reasons] for step in plan if step.reasons}
        raise Disagreement(f"actions differ: {differing}; reasons {reasons}; {answers}")
    for step in plan:
        if not step.spec.is_source:
            problem = _wrong_reasons(plan, step, answers, model, with_failures)
            if problem:
                texts = [reason.to_json() for reason in step.reasons]
                raise Disagreement(f"{step.asset} ({step.action}): {problem}; told {texts}; {answers[step.asset]}")


def _subject(reason: Reason) -> tuple[str, str]:
    return (reason.code, str(reason.data.get("input", reason.data.get("field", ""))))


def _wrong_reasons(
    plan: Plan, step: Step, answers: dict[str, Answer], model: Model, with_failures: bool
) -> str:  # fmt: skip
    told, answer = {_subject(reason) for reason in step.reasons}, answers[step.asset]
    match step.action:
        case Action.CURRENT:
            return "a current asset has reasons" if told else ""
        case Action.PINNED:
            return "" if told == {("pinned", "")} else "a pinned asset says so, and nothing else"
        case Action.BLOCKED:
            return _wrong_block(step, model)
        case Action.MAYBE:
            return _wrong_maybe(plan, step, answers)
        case Action.UNDECIDED:
            return "no asset of the model asks what an edit is for"
        case Action.RUN | Action.LINK:
            return _wrong_causes(step, told, answer, answers, model, with_failures)
    return ""


def _wrong_block(step: Step, model: Model) -> str:
    if len(step.reasons) != 1:
        return "one reason blocks"
    reason = step.reasons[0]
    subject = str(reason.data.get("source", reason.data.get("input")))
    match reason.code:
        case "source_unavailable":
            return "" if model.sources.get(subject, "") is None else f"{subject} is there"
        case "upstream_missing":
            return "" if subject not in model.current else f"{subject} has a version"
        case "data_missing":
            return "" if any(model.is_lost(key) for key in model.pinned) else "nothing that is pinned is lost"
        case other:
            return f"{other} blocks nothing"


def _wrong_maybe(plan: Plan, step: Step, answers: dict[str, Answer]) -> str:
    if len(step.reasons) != 1 or step.reasons[0].is_root:
        return "one reason, and no root cause"
    reason = step.reasons[0]
    if reason.code == "made_together":
        other = plan[str(reason.data["with"])]
        return "" if (other.spec.node, other.action) == (step.spec.node, Action.RUN) else f"{other.asset} does not run"
    ups = [one.upstream for one in step.spec.inputs if one.mode != "order"]
    open_ups = [up for up in ups if up in answers and answers[up].value is None]
    is_true = reason.code == "upstream_runs" and reason.data["inputs"] == list(dict.fromkeys(open_ups))
    return "" if is_true else f"it waits for {open_ups}"


def _wrong_causes(
    step: Step,
    told: set[tuple[str, str]],
    answer: Answer,
    answers: dict[str, Answer],
    model: Model,
    with_failures: bool,
) -> str:
    has_failed = ("failed_last", "") in told
    told = told - {("failed_last", "")}
    last, now = model.last.get(step.asset), model.current.get(step.asset)
    if step.action is Action.RUN and with_failures and last is not None and told != {("data_missing", "")}:
        state, run = last
        if has_failed != (state in FAILS and (now is None or run >= now.run)):
            return f"its last attempt was {state} in run {run}, and its head is of run {now and now.run}"
    is_code = {cause for cause in answer.causes if cause[0] in CODE}
    told_code = {cause for cause in told if cause[0] in CODE}
    if not answer.causes or not told:
        return "an asset that is not current has a cause"
    if bool(is_code) != bool(told_code) or not told_code <= is_code:
        return f"of its code, {sorted(is_code)} changed"
    may_be_told = _read_otherwise(step, model) if is_code else set()
    rest, told_rest = answer.causes - is_code, told - told_code
    if not rest <= told_rest:
        return f"not told: {sorted(rest - told_rest)}"
    if not told_rest <= rest | may_be_told:
        return f"not true: {sorted(told_rest - rest - may_be_told)}"
    if (step.link and step.link.version.number) != (answer.link and answer.link.number):
        return f"another version could be linked: {answer.link}"
    return next((problem for reason in step.reasons if (problem := _wrong_facts(reason, step, answers, model))), "")


def _read_otherwise(step: Step, model: Model) -> set[tuple[str, str]]:
    """Inputs that are read in another way than before: whether they changed as well may be told or not."""
    was = {(name, up): columns for name, up, _, columns, _ in model.current[step.asset].recipe.reads}
    return {
        ("input_changed", str(one.upstream))
        for one in step.spec.inputs
        if was.get((one.parameter, one.upstream), one.columns) != one.columns
    }


def _wrong_facts(reason: Reason, step: Step, answers: dict[str, Answer], model: Model) -> str:
    """What a reason states in particular."""
    data = reason.data
    if reason.code == "config_changed":
        now = dict(model.maker(step.asset).config or ()).get(str(data["field"]))
        was = dict(model.current[step.asset].recipe.config).get(str(data["field"]))
        return "" if (data["from"], data["to"]) == (was, now) else f"config went from {was} to {now}"
    if reason.code == "input_changed" and str(data["input"]) not in model.sources:
        up = str(data["input"])
        link = answers[up].link if up in answers else None
        now = link.number if link is not None else model.current[up].number
        return "" if data["to"] == now else f"{up} is at v{now}"
    if reason.code == "data_missing":
        number = model.current[step.asset].number
        return "" if data["version"] == number else f"it is v{number} that is gone"
    return ""
