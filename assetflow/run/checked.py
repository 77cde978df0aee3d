"""What checks answered, as outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from msgspec.structs import replace

from assetflow.errors import AssetflowError, CheckFailed
from assetflow.io.forms import value_words
from assetflow.load.live import LiveCheck
from assetflow.model.checks import CheckResult, ReadyCheck
from assetflow.model.keys import AssetKey
from assetflow.model.records import CheckOutcome
from assetflow.model.secrets import SECRETS


def failing(checks: Iterable[CheckOutcome]) -> list[CheckOutcome]:
    """The checks that keep a version from being published."""
    return [check for check in checks if check.blocking and not check.passed]


def cleaned(outcome: CheckOutcome) -> CheckOutcome:
    """The outcome without secrets in its message."""
    return replace(outcome, message=SECRETS.text(outcome.message)) if outcome.message else outcome


def rejection(key: AssetKey, bad: list[CheckOutcome]) -> CheckFailed:
    """The error of an asset of which these checks failed."""
    first = bad[0]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return CheckFailed(
        f"check `{first.name}` of {key} failed: {first.message or 'it returned False'}{more}",
        facts=[f"{one.name}: {one.message}" for one in bad[1:]],
    )


def ready_outcome(ready: ReadyCheck, read: Callable[..., Any], other: Callable[..., Any]) -> CheckOutcome:
    """The outcome of a ready-made check; one that finds no table to look at has failed."""
    from assetflow.io.checks import evaluate

    try:
        return evaluate(ready, read, other)
    except AssetflowError as error:
        return CheckOutcome(ready.name, False, ready.blocking, error.what)


def check_outcome(check: LiveCheck, answer: object) -> CheckOutcome:
    """What a check function answered, as an outcome. Anything but a bool or a `CheckResult` counts as failed."""
    if not isinstance(answer, CheckResult):
        if _is_bool(answer):
            return CheckOutcome(check.name, bool(answer), check.blocking)
        problem = f"it returned {value_words(answer)} instead of True, False or a CheckResult"
        return CheckOutcome(check.name, False, check.blocking, problem)
    passed, message = cast("object", answer.passed), cast("object", answer.message)  # nobody holds them to their types
    if not _is_bool(passed):
        problem = f"the `passed` of its CheckResult is {value_words(passed)} instead of True or False"
    elif message is not None and not isinstance(message, str):
        problem = f"the `message` of its CheckResult is {value_words(message)} instead of a text"
    else:
        return CheckOutcome(check.name, bool(passed), check.blocking, message or "")
    return CheckOutcome(check.name, False, check.blocking, problem)


def _is_bool(value: object) -> bool:
    """Whether it is a bool, of Python or of numpy, which is not imported for that."""
    kind = type(value)
    return kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"))
