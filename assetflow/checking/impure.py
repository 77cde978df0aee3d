"""Places where code reads the clock, chance, the environment, the network or files: what no fingerprint can see.

An asset whose result depends on one of these is called current although it would come out differently. The tables here
name the usual ways; what is not in them is not found.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from msgspec import Struct

from assetflow.load.codemap import CodeMap, Reference, Unit

KINDS = ("clock", "random", "environment", "network", "file")

CODES = {"clock": "AF210", "random": "AF211", "environment": "AF212", "network": "AF213", "file": "AF214"}

WHAT = {
    "clock": "reads the clock",
    "random": "depends on chance",
    "environment": "reads the environment",
    "network": "uses the network",
    "file": "reads a file that is no input",
}

HELP = {
    "clock": "take the time from the data, or from a source with version=; a result that may depend on when it runs is "
    "never really current",
    "random": "give it a fixed seed, or take the numbers from the data",
    "environment": "declare it, so that a change of it is seen: @asset(env=[...]), or a field of a Config",
    "network": "declare what is fetched as source(key, version=..., load=...), or put the client into a Resource",
    "file": 'declare it: @asset(files=[...]), or source("name", path="...") and take `name` as a parameter',
}

_CLOCK = frozenset([
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.asctime", "pandas.Timestamp.now",
    "pandas.Timestamp.utcnow", "pandas.Timestamp.today",
])  # fmt: skip
_CLOCK_WITHOUT = {"time.localtime": 1, "time.gmtime": 1, "time.ctime": 1, "time.asctime": 1}
"""Those that read the clock only when they get fewer arguments than this."""
_CLOCK_WORDS = frozenset(["pandas.Timestamp", "pandas.to_datetime", "numpy.datetime64"])
_NOW = frozenset(["now", "today"])
_SEEDED = frozenset([
    "random.Random", "numpy.random.default_rng", "numpy.random.RandomState", "numpy.random.SeedSequence",
    "numpy.random.PCG64", "numpy.random.MT19937", "numpy.random.Philox", "numpy.random.SFC64",
])  # fmt: skip
"""Makers of generators: with a seed they always give the same."""
_SEEDS = frozenset(["random.seed", "numpy.random.seed"])
_CHANCE_BUT = frozenset(
    [
        "random.getstate",
        "random.setstate",
        "numpy.random.get_state",
        "numpy.random.set_state",
        "numpy.random.Generator",
        "numpy.random.BitGenerator",
    ]
)
_CHANCE = frozenset(["uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom"])
_ENVIRONMENT = frozenset([
    "os.environ", "os.environb", "os.getenv", "os.getenvb", "os.getcwd", "os.getlogin", "os.uname", "sys.argv",
    "socket.gethostname", "platform.node", "getpass.getuser", "pathlib.Path.cwd", "pathlib.Path.home",
])  # fmt: skip
_NETWORK = (
    "requests", "httpx", "urllib.request", "urllib3", "http.client", "aiohttp", "socket", "ftplib", "smtplib",
    "paramiko", "boto3", "botocore", "websockets", "telnetlib", "imaplib", "poplib", "xmlrpc.client",
)  # fmt: skip
_NETWORK_BUT = (
    "requests.exceptions", "httpx.HTTPError", "socket.gethostname", "urllib.request.pathname2url",
    "urllib.request.url2pathname",
)  # fmt: skip
_READERS = frozenset([
    *(f"pandas.read_{name}" for name in
      ("csv", "table", "fwf", "json", "parquet", "feather", "excel", "orc", "pickle", "xml", "html", "hdf", "stata")),
    *(f"polars.{verb}_{name}" for verb in ("read", "scan")
      for name in ("csv", "parquet", "json", "ndjson", "ipc", "excel", "delta", "avro")),
    "numpy.load", "numpy.loadtxt", "numpy.genfromtxt", "numpy.fromfile", "pyarrow.parquet.read_table",
    "pyarrow.csv.read_csv", "pyarrow.json.read_json", "pyarrow.feather.read_table", "pyarrow.dataset.dataset",
    "duckdb.read_csv", "duckdb.read_parquet", "duckdb.read_json", "open", "io.open", "gzip.open", "bz2.open",
    "lzma.open",
])  # fmt: skip
_PATH_READS = frozenset(["read_text", "read_bytes", "open", "iterdir", "glob", "rglob"])
_SANCTIONED = frozenset(["assetflow.Resource", "assetflow.Config"])
"""Classes whose whole point is to talk to the world outside."""


class Hit(Struct, frozen=True):
    """One place. `spelled` is the text of it, `detail` the path or the variable where it is written in full."""

    kind: str
    node: ast.expr
    spelled: str
    detail: str = ""


def hits_in(unit: Unit, code: CodeMap) -> Iterator[Hit]:
    """What the text of a unit reads besides its parameters. Nothing for the classes that are made for it."""
    if is_sanctioned(unit, code):
        return
    references = code.references(unit)
    calls = {id(node.func): node for node in ast.walk(unit.node) if isinstance(node, ast.Call)}
    items = {id(node.value): node for node in ast.walk(unit.node) if isinstance(node, ast.Subscript)}
    is_seeded = any(
        one.dotted in _SEEDS and (call := calls.get(id(one.node))) is not None and call.args for one in references
    )
    for one in references:
        if one.unit is None:
            call = calls.get(id(one.node))
            kind = _kind(one, call, is_seeded=is_seeded)
            if kind is not None:
                whole = call or items.get(id(one.node)) or one.node
                yield Hit(kind, whole, _clipped(ast.unparse(whole)), _literal(call) or _item(items.get(id(one.node))))
    yield from _methods(unit, code, is_seeded=is_seeded)


def is_sanctioned(unit: Unit, code: CodeMap) -> bool:
    """Whether a unit is a `Resource` or a `Config` class."""
    waiting, seen = [unit], set[Unit]()
    while waiting:
        one = waiting.pop()
        if one in seen or not isinstance(one.node, ast.ClassDef):
            continue
        seen.add(one)
        for base in one.node.bases:
            meant = code.resolve(one, base)
            if meant is not None and meant.dotted in _SANCTIONED:
                return True
            if meant is not None and meant.unit is not None:
                waiting.append(meant.unit)
    return False


def _kind(one: Reference, call: ast.Call | None, *, is_seeded: bool) -> str | None:
    name = one.dotted
    top = name.partition(".")[0]
    if name in _CLOCK:
        given = 0 if call is None else len(call.args) + len(call.keywords)
        return "clock" if given < _CLOCK_WITHOUT.get(name, 1000) else None
    if name in _CLOCK_WORDS and _literal(call).lower() in _NOW:
        return "clock"
    if name in _ENVIRONMENT or name.startswith(("os.environ.", "os.environb.", "sys.argv.")):
        return "environment"
    if _is_chance(name, call, is_seeded=is_seeded):
        return "random"
    if name in _READERS:
        return _reading(name, call)
    modules = [module for module in _NETWORK if name == module or name.startswith(f"{module}.")]
    if modules and top != "assetflow" and not name.startswith(_NETWORK_BUT) and call is not None:
        return "network"
    return None


def _is_chance(name: str, call: ast.Call | None, *, is_seeded: bool) -> bool:
    if name in _CHANCE or name.startswith("secrets."):
        return True
    if name in _SEEDED:
        return call is not None and not (call.args or call.keywords)
    if name in _SEEDS or name in _CHANCE_BUT or not name.startswith(("random.", "numpy.random.")):
        return False
    return not is_seeded


def _reading(name: str, call: ast.Call | None) -> str | None:
    """Whether a reader is given a literal path or address; another one may be an input, or the path of one."""
    literal = _literal(call)
    if call is None or not literal:
        return None
    if literal.startswith(("http://", "https://", "s3://", "gs://", "ftp://")):
        return "network"
    is_open = name.endswith("open")
    if is_open and any(letter in _mode(call) for letter in "wax"):
        return None
    return "file"


def _methods(unit: Unit, code: CodeMap, *, is_seeded: bool) -> Iterator[Hit]:
    """Calls of methods that say it by themselves: `frame.sample(n=3)`, `Path("rates.csv").read_text()`."""
    for node in ast.walk(unit.node):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        given = {one.arg for one in node.keywords}
        if node.func.attr == "sample" and given & {"n", "frac", "fraction"} and not is_seeded:
            if not given & {"random_state", "seed"}:
                yield Hit("random", node, f".sample({', '.join(sorted(map(str, given)))}=…)")
        elif node.func.attr in _PATH_READS and isinstance(node.func.value, ast.Call):
            maker = node.func.value
            meant = code.resolve(unit, maker.func)
            if meant is not None and meant.dotted in ("pathlib.Path", "Path") and _literal(maker):
                if node.func.attr == "open" and any(letter in _mode(node, 0) for letter in "wax"):
                    continue
                yield Hit("file", node, _clipped(ast.unparse(node)), _literal(maker))


def _mode(call: ast.Call, place: int = 1) -> str:
    given = [one.value for one in call.keywords if one.arg == "mode"] or call.args[place : place + 1]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else ""


def _literal(call: ast.Call | None) -> str:
    """The text that is given first, when it is written in full, also as `Path("...")`."""
    if call is None or not call.args:
        return ""
    first = call.args[0]
    if isinstance(first, ast.Call) and len(first.args) == 1 and ast.unparse(first.func) in ("Path", "pathlib.Path"):
        first = first.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _item(node: ast.Subscript | None) -> str:
    """`REGION` for `os.environ["REGION"]`."""
    inside = None if node is None else node.slice
    return inside.value if isinstance(inside, ast.Constant) and isinstance(inside.value, str) else ""


def _clipped(text: str, most: int = 48) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
