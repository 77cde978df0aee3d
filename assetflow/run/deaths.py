"""How the process of a step ended, as an error that a person can act on."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from msgspec import Struct

from assetflow.errors import AssetDied
from assetflow.model.durations import words
from assetflow.model.policies import Limits
from assetflow.run.failure import OUR_FOLDER, source_lines
from assetflow.run.outcome import StepError
from assetflow.run.worker import LOST

_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x[0-9a-f]+.*$", re.MULTILINE)
_STACK_LINES = 12
_LOST = "cannot speak to assetflow any more: its code closed files that are not its own"
_LOST_FIX = "close only what you opened, not all file descriptors"
_MEANINGS = {
    "SIGSEGV": "it touched memory that is not its own, in code that is not Python",
    "SIGBUS": "it touched memory that is not there, as of a file that was cut short",
    "SIGFPE": "an arithmetic error in code that is not Python",
    "SIGILL": "code that this processor does not know, as in a package built for another one",
    "SIGABRT": "a library gave up (abort)",
    "SIGKILL": "kill -9 from outside, or the system ran out of memory",
    "SIGTERM": "somebody asked it to end",
    "SIGXCPU": "a limit of processor time",
    "SIGXFSZ": "a limit of the size of files",
}


class Death(Struct, frozen=True):
    """What is known of the end of a child.

    `status` is the wait status, None when nobody could be asked. `why` is `timeout`, `memory` or `lost` (it could not
    be spoken to) when assetflow ended it, `stopped` when the run was interrupted, else empty. `stack` is what
    faulthandler wrote; `silent_s` is the time since it last wrote to its log, None when it never did.
    """

    asset: str
    limits: Limits
    status: int | None = None
    why: str = ""
    is_memory_short: bool = False
    peak_bytes: int = 0
    silent_s: float | None = None
    stack: str = ""


def death_error(death: Death, root: Path) -> StepError:
    """The error for a step whose process ended without an answer."""
    if death.why == "stopped":
        return StepError(AssetDied.code, "KeyboardInterrupt", "the run was interrupted")
    kind, message, facts, fix = _told(death)
    frames = _frames(death.stack)
    file, line, function = next((one for one in frames if one[0].startswith(f"{root}/")), (None, None, None))
    if death.silent_s is not None and death.why == "timeout":
        facts.append(f"it last wrote to its log {words(death.silent_s)} before")
    if frames and file is None:
        innermost = frames[0]
        facts.append(f"it was in {innermost[2]} ({innermost[0]}:{innermost[1]})")
    return StepError(
        AssetDied.code, kind, message, file, line, function, source_lines(file, line), tuple(facts), fix,
        _told_stack(death, frames),
    )  # fmt: skip


def equal_exception(death: Death) -> Exception:
    """The exception that a rule of retries sees in place of the death."""
    if death.why == "timeout":
        return TimeoutError()
    return MemoryError() if death.why == "memory" or death.is_memory_short else ChildProcessError()


def _told(death: Death) -> tuple[str, str, list[str], str | None]:
    key, limits = death.asset, death.limits
    if death.why == "timeout":
        return (
            "TimeoutError",
            f"{key} was ended: it ran longer than its timeout of {words(limits.timeout_s or 0.0)}",
            [],
            "see where it was, or give it more time with a larger `timeout`",
        )
    if death.why == "memory":
        return (
            "MemoryError",
            f"{key} was ended: it took {size_words(death.peak_bytes)} of memory; "
            f"its limit is {size_words(limits.memory_bytes or 0)}",
            [],
            "make it work in smaller pieces, or allow it more with a larger `memory`",
        )
    peak = [f"its largest memory was {size_words(death.peak_bytes)}"] if death.peak_bytes else []
    if death.why == "lost":
        return "ChildProcessError", f"the process of {key} {_LOST}", [], _LOST_FIX
    if death.status is None:
        what = "the process that starts child processes was killed, and its children with it"
        return "ChildProcessError", f"the process of {key} is gone: {what}", [], "run the command again"
    if os.WIFSIGNALED(death.status):
        name = _signal_name(os.WTERMSIG(death.status))
        if death.is_memory_short:
            told = f"the process of {key} was killed by the kernel, which was out of memory"
            return (
                "MemoryError",
                told,
                peak,
                'run fewer assets at once (-j), or set limits such as @asset(memory="2GB")',
            )
        meaning = _MEANINGS.get(name)
        told = f"the process of {key} was killed by {name}" + (f": {meaning}" if meaning else "")
        return "ChildProcessError", told, peak if name == "SIGKILL" else [], None
    code = os.waitstatus_to_exitcode(death.status)
    if code == LOST:
        return "ChildProcessError", f"the process of {key} {_LOST}", [], _LOST_FIX
    told = f"the process of {key} ended with exit code {code} and without an answer"
    return "ChildProcessError", told, [], "return from the function, or raise; do not call os._exit"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _frames(stack: str) -> list[tuple[str, int, str]]:
    """The frames, innermost first, of the thread that crashed, or else of the main thread, which is written last."""
    parts = _THREAD.split(stack)
    chosen = parts[1] if "Fatal Python error" in parts[0] and len(parts) > 1 else parts[-1]
    return [(file, int(line), name) for file, line, name in _FRAME.findall(chosen)]


def _told_stack(death: Death, frames: Sequence[tuple[str, int, str]]) -> str:
    if not frames:
        return ""
    # What is below the user's first line is ours: the nursery, the child, the step.
    users = takewhile(lambda frame: not frame[0].startswith(OUR_FOLDER), frames[:_STACK_LINES])
    lines = [f'  File "{file}", line {line}, in {name}' for file, line, name in reversed([*users] or frames)]
    return "\n".join(["It was here when it ended (most recent call last):", *lines])


def size_words(amount: int) -> str:
    """An amount of memory as people read it: `1.5 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= size:
            return f"{amount / size:.3g} {unit}"
    return f"{amount} B"
