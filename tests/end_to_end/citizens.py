"""Assets that behave badly, each with what is to become of it: the state, and what its error says."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent

PRELUDE = """
import collections, ctypes, itertools, locale, os, re, signal, subprocess, sys, tempfile, threading, time
import pandas as pd
from assetflow import asset


class Unpicklable(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()

    def __reduce__(self):
        raise TypeError("cannot be pickled")


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no text")


class OddText(str):
    def __str__(self):
        return self

    def __reduce_ex__(self, protocol):
        raise TypeError("cannot be pickled")


class Odd(Exception):
    def __str__(self):
        return OddText("odd text")
"""


@dataclass(frozen=True)
class Citizen:
    """An asset `name` with a body. `says` is a pattern of its error, empty where it ends well."""

    name: str
    body: str
    says: str = ""
    options: str = 'isolation="process"'
    returns: str = ""

    def text(self) -> str:
        """The asset as it stands in the module."""
        body = indent(dedent(self.body).strip(), "    ")
        annotation = f" -> {self.returns}" if self.returns else ""
        return f"@asset({self.options})\ndef {self.name}(){annotation}:\n{body}\n"


def ends(name: str, body: str, says: str = "", *, returns: str = "") -> Citizen:
    return Citizen(name, body, says, returns=returns)


def hangs(name: str, body: str, says: str = "longer than its timeout of 0.8 s") -> Citizen:
    return Citizen(name, body, says, 'timeout="800ms"')


HANGING = (
    hangs("sleeps", "time.sleep(600)"),
    hangs("ignores_sigterm", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    time.sleep(1)"),
    hangs("catches_all", "while True:\n    try:\n        time.sleep(600)\n    except BaseException:\n        pass"),
    hangs("blocks_in_c", "ctypes.CDLL(None).sleep(600)\nwhile True:\n    ctypes.CDLL(None).sleep(600)"),
    hangs("backtracks", "re.match('(a+)+$', 'a' * 60 + 'b')"),
    hangs("holds_the_gil", "collections.deque(itertools.repeat(1), maxlen=0)"),
    hangs("stops_itself", "os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(600)"),
    hangs("waits_for_a_child", "subprocess.run(['sleep', '600'])"),
    hangs("waits_for_a_lock", "lock = threading.Lock()\nlock.acquire()\nlock.acquire()"),
)

DYING = (
    ends("exits", "os._exit(3)", "exit code 3"),
    ends("exits_with_zero", "os._exit(0)", "exit code 0"),
    ends("aborts", "os.abort()", "SIGABRT"),
    ends("touches_nothing", "ctypes.string_at(0)", "SIGSEGV"),
    ends("kills_itself", "os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ends("closes_everything", "os.closerange(3, 4096)\nreturn 1", "closed files that are not its own"),
    ends("goes_to_the_background", "if os.fork():\n    os._exit(0)\nreturn 1", "exit code 0"),
    ends("fails_to_stop_a_thread",
         "threading.Thread(target=lambda: (time.sleep(0.2), os._exit(9))).start()\ntime.sleep(600)", "exit code 9"),
    Citizen("eats", "found = []\nwhile True:\n    found.append(bytearray(10_000_000))\n    time.sleep(0.005)",
            "of memory; its limit is 400 MB", 'memory="400MB"'),
    Citizen("children_eat",
            "subprocess.run([sys.executable, '-c', 'x = bytearray(900_000_000)\\nimport time; time.sleep(600)'])",
            "of memory; its limit is 600 MB", 'memory="600MB"'),
)  # fmt: skip

RAISING = (
    ends("leaves", "sys.exit(4)", "SystemExit: 4"),
    ends("interrupts", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    ends("generator_exit", "raise GeneratorExit('no')", "GeneratorExit"),
    ends("recurses", "def again():\n    return again()\nreturn again()", "RecursionError"),
    ends("has_no_memory", "return bytearray(1 << 60)", "MemoryError"),
    ends("unpicklable", "raise Unpicklable('has a lock')", "Unpicklable: has a lock"),
    ends("unspeakable", "raise Unspeakable", "its message could not be read"),
    ends("odd", "raise Odd", "odd text"),
    ends("local_class", "class Local(Exception):\n    pass\nraise Local('inside')", "inside"),
    ends("notes", "error = ValueError('noted')\nerror.__notes__ = [Unpicklable('x')]\nraise error", "noted"),
    ends("huge_message", "raise ValueError('x' * 5_000_000)", "ValueError"),
    ends(
        "chain",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('after') from error",
        "after",
    ),
    ends("sends_sigterm", "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(5)", "KeyboardInterrupt"),
)

RETURNING = (
    ends("returns_nothing", "return None", "returned None", returns="pd.DataFrame"),
    ends("returns_lambda", "return lambda: 1", "lambda|function"),
    ends("returns_class", "return Unpicklable", "AF"),
    ends("returns_lock", "return threading.Lock()", "lock"),
    ends("returns_generator", "return (n for n in range(3))", "generator"),
    ends("duplicate_columns", "return pd.DataFrame([[1, 2]], columns=['a', 'a'])", "twice|duplicate|`a`"),
    ends("no_rows", "return pd.DataFrame({'a': pd.Series([], dtype='int64')})"),
    ends("no_columns", "return pd.DataFrame()", "", returns="pd.DataFrame"),
    ends("multi_index", "return pd.DataFrame({'a': [1, 2]}, index=pd.MultiIndex.from_tuples([(1, 'x'), (2, 'y')]))"),
    ends("wide", "return pd.DataFrame({f'c{n}': [n] for n in range(10_000)})"),
)

LEAVING = (
    ends("leaves_a_process", "subprocess.Popen(['sleep', '600'])\nreturn 1"),
    ends("leaves_a_session", "subprocess.Popen(['sleep', '600'], start_new_session=True)\nreturn 1"),
    ends("leaves_a_daemon",
         "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n    os._exit(0)\n"
         "time.sleep(0.1)\nreturn 1"),
    ends("leaves_a_clean_daemon",
         "subprocess.Popen(['sh', '-c', 'setsid sleep 600 & exit 0'], env={'PATH': os.environ['PATH']}).wait()\n"
         "return 1"),
    ends("leaves_twenty", "for _ in range(20):\n    if os.fork() == 0:\n        time.sleep(600)\nreturn 1"),
    ends("both_return", "os.fork()\nreturn 1"),
    ends("leaves_a_thread", "threading.Thread(target=time.sleep, args=(600,)).start()\nreturn 1"),
    ends("leaves_the_folder", "os.chdir('/')\nreturn 1"),
    ends("deletes_its_folder", "place = tempfile.mkdtemp()\nos.chdir(place)\nos.rmdir(place)\nreturn 1"),
    ends("closes_the_streams", "for number in range(3):\n    os.close(number)\nprint('lost?')\nreturn 1"),
    ends("closes_stdout", "sys.stdout.close()\nsys.stdout = None\nreturn 1"),
    ends("handles_signals", "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):\n"
         "    signal.signal(number, signal.SIG_IGN)\nreturn 1"),
    ends("changes_the_umask", "os.umask(0o777)\nreturn 1"),
    ends("changes_the_environment", "os.environ.clear()\nreturn 1"),
    ends("changes_the_locale", "locale.setlocale(locale.LC_ALL, 'C')\nreturn 1"),
    ends("changes_the_limit", "sys.setrecursionlimit(150)\nreturn 1"),
    ends("forgets_a_module", "sys.modules.pop('assetflow.run.step')\nsys.path.append('elsewhere')\nreturn 1"),
    ends("writes_200_mb", "for _ in range(3200):\n    os.write(1, b'x' * 62_499 + b'\\n')\nreturn 1"),
    ends("prints_200_mb", "for _ in range(3200):\n    print('y' * 62_499)\nreturn 1"),
    ends("a_child_writes_200_mb", "subprocess.run('yes | head -c 200000000', shell=True)\nreturn 1"),
)  # fmt: skip

GOOD = (
    Citizen("good_one", "return pd.DataFrame({'n': [1, 2, 3]})", options=""),
    Citizen("good_two", "return os.getcwd() != '/' and bool(os.environ)", options=""),
)
ALL = (*HANGING, *DYING, *RAISING, *RETURNING, *LEAVING, *GOOD)


def module(citizens: tuple[Citizen, ...]) -> str:
    """The module that declares them."""
    return "\n\n".join([PRELUDE, *(one.text() for one in citizens)])
