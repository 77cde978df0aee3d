"""Which functions of the project a step enters, on Pythons that tell it at no cost: 3.12 and later.

`sys.monitoring` tells of each piece of code that begins to run. After the first time it is told not to do so again for
that piece until the next step begins, so a loop of a million calls costs as much as one. Python 3.11 has none of this:
there only modules are seen that a step is the first to import.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import CodeType
from typing import Any

_TOOLS = (4, 3)
"""Numbers that Python leaves to anybody; debuggers, coverage and profilers have others."""

_lock = threading.Lock()
_state: dict[str, int] = {}


def watch_code(note: Callable[[CodeType], None]) -> bool:
    """Have `note` called for code that begins to run, also in other threads; False where Python cannot tell.

    It may be called again before `leave_code`, with the same function: then what was told once is told once more.
    """
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        return False
    with _lock:
        if "tool" not in _state:
            _state["tool"] = _claimed(monitoring, note)
        if _state["tool"] < 0:
            return False
        monitoring.set_events(_state["tool"], monitoring.events.PY_START)
        monitoring.restart_events()
    return True


def leave_code(is_needed: Callable[[], bool]) -> None:
    """Stop it, unless another step still needs it."""
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None or _state.get("tool", -1) < 0:
        return
    with _lock:
        if not is_needed():
            monitoring.set_events(_state["tool"], 0)


def _claimed(monitoring: Any, note: Callable[[CodeType], None]) -> int:
    tool = next((one for one in _TOOLS if monitoring.get_tool(one) is None), -1)
    if tool >= 0:
        disable = monitoring.DISABLE

        def started(code: CodeType, _: int) -> object:
            with suppress(Exception):  # it would come out of the user's call
                note(code)
            return disable

        monitoring.use_tool_id(tool, "assetflow")
        monitoring.register_callback(tool, monitoring.events.PY_START, started)
    return tool
