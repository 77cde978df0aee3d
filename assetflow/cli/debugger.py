"""The debugger of `materialize --pdb`: on the real terminal, whatever becomes of what assets print."""

from __future__ import annotations

import bdb
import os
import pdb
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from assetflow.cli.text import bad, dim, strong
from assetflow.errors import UsageError
from assetflow.run.failure import is_users, user_part

if TYPE_CHECKING:
    from assetflow.cli.render import Screen
    from assetflow.model.keys import AssetKey
from assetflow.model.secrets import SECRETS


class TerminalDebugger:
    """Opens a debugger at the user's frame of an exception, and at `breakpoint()`. Close it at the end."""

    def __init__(self, screen: Screen, root: Path) -> None:
        """Find the terminal, and take over `breakpoint()`.

        Raises:
            UsageError: standard input is no terminal, or there is none to write to.
        """
        self._screen, self._root = screen, root
        self._stdin = sys.stdin
        self._stdout = next((stream for stream in (sys.stdout, sys.stderr) if stream.isatty()), None)
        if self._stdin is None or not self._stdin.isatty() or self._stdout is None:
            raise UsageError(
                "--pdb needs a terminal to ask at, and standard input is none",
                fix="run it in a terminal, without pipes; `assetflow logs` shows the traceback of a run",
            )
        self._before = sys.breakpointhook
        if not os.environ.get("PYTHONBREAKPOINT"):  # who has another debugger there keeps it
            sys.breakpointhook = self._breakpoint

    def __call__(self, asset: AssetKey, error: BaseException) -> None:
        """Let the user look around where the exception was raised, until they quit."""
        if isinstance(error, bdb.BdbQuit):
            return  # they have just quit, at a breakpoint
        said = SECRETS.text(f"{type(error).__name__}: {error}").partition("\n")[0]
        self._screen.note((" ", strong(asset), "   ", bad(said), dim("   q goes on with the run")))
        debugger = self._debugger()
        debugger.reset()
        debugger.interaction(None, user_part(error.__traceback__))

    def close(self) -> None:
        """Give `breakpoint()` back."""
        sys.breakpointhook = self._before

    def _breakpoint(self, *_: object, **__: object) -> None:
        self._debugger().set_trace(sys._getframe(1))  # pyright: ignore[reportPrivateUsage] - as pdb does it

    def _debugger(self) -> _Debugger:
        assert self._stdout is not None, "a debugger is only made where there is a terminal"
        return _Debugger(self._stdin, self._stdout, self._root)


class _Debugger(pdb.Pdb):
    """Talks to a terminal of its own, where lines can be edited, and begins at the innermost frame of the user's."""

    def __init__(self, stdin: TextIO, stdout: TextIO, root: Path) -> None:
        super().__init__(stdin=stdin, stdout=stdout, nosigint=True, skip=["assetflow.*"])
        self.use_rawinput = True  # with streams given, it would do without editing
        self._streams, self._root = (stdin, stdout), root

    def interaction(self, *given: Any, **named: Any) -> None:
        """Ask for commands, on the terminal."""
        with self._on_terminal():
            super().interaction(*given, **named)

    def get_stack(self, f: FrameType | None, t: TracebackType | None) -> tuple[list[tuple[FrameType, int]], int]:
        """The frames, and which to begin with: of an exception, the last one in the project."""
        stack, index = super().get_stack(f, t)
        if t is not None:
            users = [n for n, (frame, _) in enumerate(stack) if is_users(frame.f_code.co_filename, self._root)]
            index = users[-1] if users else index
        return stack, index

    @contextmanager
    def _on_terminal(self) -> Generator[None]:
        before = sys.stdin, sys.stdout
        sys.stdin, sys.stdout = self._streams
        try:
            yield
        finally:
            sys.stdin, sys.stdout = before
