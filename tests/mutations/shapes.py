"""The shapes of code that people write, with places where it can be edited and what each edit changes.

A place is written `«name:before→after»`, with as many afters as you like. `@@` is a number that is different for each
use of a shape. `stale` says which assets an edit at a place must make stale, and no others; places whose name starts
with `=` change no meaning. Every asset function can be called without arguments, and what it returns is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Shape:
    name: str
    files: dict[str, str]
    stale: dict[str, str]


SHAPES: list[Shape] = []


def shape(name: str, files: dict[str, str], /, **stale: str) -> None:
    SHAPES.append(Shape(name, files, stale))


def all_shapes() -> list[Shape]:
    """Every shape there is: the other modules add theirs when they are imported."""
    for name in ("shapes_language", "shapes_modules"):
        import_module(f"tests.mutations.{name}")
    return SHAPES


ASSET = "from assetflow import asset\n"

shape(
    "constants",
    {
        "shop/k@@.py": ASSET
        + """
from datetime import date, timedelta
from decimal import Decimal
import re
RATE = «rate:0.2→0.25→0.2000001→-0.2»
COUNT = «count:3→4→3.0→True→1_000_000»
NAME = "«name:eu→us→Eu→eu ü»"
RAW = b"«raw:ab→ac»"
NOTHING = «nothing:None→0→""→False»
PARTS = [1, (2, {"k": «parts:3→4»}), {"a", «elements:"b"→"c"»}]
ORDERED = {"x": 1, «ordered:"y": 2, "z": 3→"z": 3, "y": 2»}
DAY = date(2026, 1, «day:1→2»)
STEP = timedelta(days=«step:1→2»)
PRICE = Decimal("«price:1.10→1.1→1.20»")
WORD = re.compile("a{«word:1→2»}")
FLAGS = re.compile("a"«flags:→, re.IGNORECASE»)
MATCH = re.compile("«matcher:a→b»").match
FIND = {"a": «bound_get:1→2»}.get
WINDOW = range(0, 10, «window:1→2»)
UNUSED = «=unused:1→2→[]»
NEST = {"deep": {"deeper": ["x", («nest:1j→2j»,)]}}
@asset
def k@@_rate(): return RATE * 2
@asset
def k@@_count(): return [COUNT, type(COUNT).__name__]
@asset
def k@@_texts(): return [NAME, RAW, NOTHING]
@asset
def k@@_parts(): return [PARTS[1], sorted(PARTS[2])]
@asset
def k@@_ordered(): return list(ORDERED.items())
@asset
def k@@_times(): return [str(DAY + STEP), str(PRICE)]
@asset
def k@@_words(): return [WORD.findall("aaA"), FLAGS.findall("aA"), list(WINDOW), NEST, bool(MATCH('a')), FIND('a')]
"""
    },
    rate="k@@_rate",
    count="k@@_count",
    name="k@@_texts",
    raw="k@@_texts",
    nothing="k@@_texts",
    parts="k@@_parts",
    elements="k@@_parts",
    ordered="k@@_ordered",
    day="k@@_times",
    step="k@@_times",
    price="k@@_times",
    word="k@@_words",
    flags="k@@_words",
    matcher="k@@_words",
    bound_get="k@@_words",
    window="k@@_words",
    nest="k@@_words",
)

shape(
    "pipeline",
    {
        "shop/clean@@.py": '''
"""«=module_doc:Cleaning.→Clean it.»"""
from shop.deep@@ import tax as tax_of, unused
LIMIT = «limit:10→11»
def strip(row):  # «=comment:why→because»
    "«=doc:Strip.→Strips it.»"
    return {k: v.strip() if isinstance(v, str) else v for k, v in row.items()}
def keep(row: «=hint:int→dict→"dict[str, object]"») -> «=result:bool→object»:
    limit: «=local:int→float» = LIMIT
    return row["n"] «less:<→<=» limit
def net(row):
    return {**row, "net": row["n"] - tax_of(row["n"])}
''',
        "shop/deep@@.py": """
from shop import deepest@@ as bottom
def tax(n): return bottom.rate() * n «plus:+→-» 1
def unused(): return «=unused:1→2»
""",
        "shop/deepest@@.py": """
RATES = [«bottom:0.5→0.75»]
def rate(): return RATES[0]
""",
        "shop/pipe@@.py": ASSET
        + """
from shop import clean@@ as c
from shop.clean@@ import keep
ROWS = [{"n": 1, "name": " a "}, {"n": 10, "name": "b"}, {"n": 20, "name": "«data:c→d»"}]
@asset(description="«=description:one→two»")
def p@@_stage(): return [c.strip(row) for row in ROWS]
@asset(tags=["«=tag:a→b»"])
def p@@_kept(): return [row for row in p@@_stage() if keep(row)]
@asset
def p@@_mart(): return [c.net(row) for row in ROWS]
@asset
def p@@_alone(): return «alone:1→2»
""",
    },
    limit="p@@_kept",
    less="p@@_kept",
    plus="p@@_mart",
    bottom="p@@_mart",
    data="p@@_stage p@@_kept p@@_mart",
    alone="p@@_alone",
)

shape(
    "classes",
    {
        "shop/cls@@.py": ASSET
        + '''
import abc
from functools import cached_property
class Base(abc.ABC):
    """«=doc:A base.→The base.»"""
    digits = «digits:2→3»
    names = ["«names:a→b»"]
    def __init__(self, n=«default:4→5»): self.n = n
    @abc.abstractmethod
    def rate(self): ...
    def total(self, more: «=hint:int→float» = 1): return self.helper() * self.rate() + self.n
    @staticmethod
    def helper(): return «static:1→2»
    @classmethod
    def make(cls): return cls(«made:6→7»)
    @property
    def twice(self): return self.n * «property:2→3»
    @cached_property
    def cached(self): return self.n + «cached:1→2»
class Child(Base):
    def rate(self): return «method:1.5→2.5»
class Other(Base):
    def rate(self): return super().total.__name__ and «other:9→8»
class Alone:
    __slots__ = ("x",)
    def __init__(self): self.x = «slot:1→2»
    def __eq__(self, other): return self.x == other.x
@asset
def c@@_child(): return [Child().total(), Child.make().twice, Child(1).cached, Child.digits, Child.names]
@asset
def c@@_other(): return [Other().total(), Other.make().twice, Other(1).cached, Other.digits, Other.names]
@asset
def c@@_alone(): return Alone().x
'''
    },
    digits="c@@_child c@@_other",
    names="c@@_child c@@_other",
    default="c@@_child c@@_other",
    static="c@@_child c@@_other",
    made="c@@_child c@@_other",
    property="c@@_child c@@_other",
    cached="c@@_child c@@_other",
    method="c@@_child",
    other="c@@_other",
    slot="c@@_alone",
)

shape(
    "class attributes",
    {
        "shop/attr@@.py": ASSET
        + """
class Settings:
    limit = 1
class Loaded:
    pass
class Quiet:
    level = 0
Settings.limit = «later:5→6»
Settings.method = lambda self: «patched:1→2»
for name, value in {"a": «loop:1→2»}.items():
    setattr(Loaded, name, value)
def put(cls, n):
    cls.n = n
    return cls
put(Quiet, «put:1→2»)
@asset
def at@@_settings(): return [Settings.limit, Settings().method()]
@asset
def at@@_loaded(): return Loaded.a
@asset
def at@@_quiet(): return Quiet.n
"""
    },
    later="at@@_settings",
    patched="at@@_settings",
    loop="at@@_loaded",
    put="at@@_quiet",
)

shape(
    "dataclasses",
    {
        "shop/dc@@.py": ASSET
        + """
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from collections import namedtuple
@dataclass(frozen=«frozen:True→False»)
class Row:
    n: «field_type:int→float» = «n:1→2»
    tags: list = field(default_factory=lambda: ["«factory:a→b»"])
    def total(self): return self.n + len(self.tags)
@dataclass
class Sub:
    m: int = «m:3→4»
class Point(NamedTuple):
    x: int = «x:1→2»
Pair = namedtuple("Pair", "«pair:a b→b a»")
INSTANCE = Row(«instance:7→8»)
PAIR = Pair(1, «second:2→3»)
@asset
def d@@_row(): return [repr(Row()), Row.__dataclass_fields__["n"].type.__name__, Row.__dataclass_params__.frozen]
@asset
def d@@_sub(): return Sub().m
@asset
def d@@_point(): return Point().x
@asset
def d@@_pair(): return Pair(1, 2)._asdict()
@asset
def d@@_instances(): return [INSTANCE.total(), PAIR[1]]
"""
    },
    frozen="d@@_row d@@_instances",
    field_type="d@@_row d@@_instances",
    n="d@@_row d@@_instances",
    factory="d@@_row d@@_instances",
    m="d@@_sub",
    x="d@@_point",
    pair="d@@_pair d@@_instances",
    instance="d@@_instances",
    second="d@@_instances",
)

shape(
    "decorators",
    {
        "shop/deco@@.py": """
import functools
def scaled(n):
    def wrap(f):
        @functools.wraps(f)
        def inner(*args):
            return f(*args) * n + «inner:0→1»
        return inner
    return wrap
def bare(f):
    def inner(*args): return [f(*args), «bare:1→2»]
    return inner
def marked(f):
    f.mark = «mark:1→2»
    return f
class Counted:
    def __init__(self, f): self.f = f
    def __call__(self, *args): return [self.f(*args), «counted:1→2»]
""",
        "shop/used@@.py": ASSET
        + """
import functools
import contextlib
from shop.deco@@ import scaled, bare, marked, Counted
@scaled(«by:2→3»)
def one(): return «one:5→6»
@bare
def two(): return «two:5→6»
@marked
def three(): return «three:5→6»
@Counted
def four(): return «four:5→6»
@functools.lru_cache(maxsize=«=maxsize_of_a_cache_kept:8→8»)
def five(): return «five:5→6»
@contextlib.contextmanager
def six(): yield «six:5→6»
@functools.singledispatch
def seven(x): return 0
@seven.register
def _(x: int): return «seven:5→6»
@seven.register(str)
def _(x): return «seven_text:5→6»
bound = functools.partial(pow, «partial:2→3»)
late = bare(lambda: «late:1→2»)
@asset
def u@@_one(): return one()
@asset
def u@@_two(): return two()
@asset
def u@@_three(): return [three(), three.mark]
@asset
def u@@_four(): return four()
@asset
def u@@_five(): return five()
@asset
def u@@_six():
    with six() as x: return x
@asset
def u@@_seven(): return [seven(1), seven("a")]
@asset
def u@@_partial(): return bound(2)
@asset
def u@@_late(): return late()
@asset
@scaled(«asset_by:2→4»)
def u@@_decorated(): return «decorated:3→4»
""",
    },
    inner="u@@_one u@@_decorated",
    bare="u@@_two u@@_late",
    mark="u@@_three",
    counted="u@@_four",
    by="u@@_one",
    one="u@@_one",
    two="u@@_two",
    three="u@@_three",
    four="u@@_four",
    five="u@@_five",
    six="u@@_six",
    seven="u@@_seven",
    seven_text="u@@_seven",
    partial="u@@_partial",
    late="u@@_late",
    asset_by="u@@_decorated",
    decorated="u@@_decorated",
)

shape(
    "closures",
    {
        "shop/make@@.py": """
def maker(n, table=None):
    def made(x): return x * n + «made:0→1» + len(table or ())
    return made
def nested(a):
    def middle(b):
        def inner(): return a * 10 + b + «inner:0→1»
        return inner
    return middle
class Holder:
    def __init__(self, f): self.f = f
""",
        "shop/close@@.py": ASSET
        + """
from shop.make@@ import maker, nested, Holder
double = maker(«n:2→3»)
triple = maker(3, [«table:1→1, 2»])
deep = nested(«a:1→2»)(«b:1→2»)
held = Holder(maker(«held:2→3»))
FUNCTIONS = [maker(i) for i in range(«many:2→3»)]
lambdas = [lambda: «first:1→2», lambda: «second:3→4»]
pick = (lambda: «=zero:0→9», lambda: «uno:1→9»)[1]
plain = lambda x=«kw:1→2»: x
@asset
def cl@@_double(): return double(5)
@asset
def cl@@_triple(): return triple(5)
@asset
def cl@@_deep(): return deep()
@asset
def cl@@_held(): return held.f(5)
@asset
def cl@@_many(): return [f(1) for f in FUNCTIONS]
@asset
def cl@@_lambdas(): return [f() for f in lambdas]
@asset
def cl@@_pick(): return pick()
@asset
def cl@@_plain(): return plain()
""",
    },
    made="cl@@_double cl@@_triple cl@@_held cl@@_many",
    n="cl@@_double",
    table="cl@@_triple",
    inner="cl@@_deep",
    a="cl@@_deep",
    b="cl@@_deep",
    held="cl@@_held",
    many="cl@@_many",
    first="cl@@_lambdas",
    second="cl@@_lambdas",
    uno="cl@@_pick",
    kw="cl@@_plain",
)

shape(
    "registries",
    {
        "shop/reg@@.py": """
HANDLERS = {}
def handler(name):
    def keep(f):
        HANDLERS[name] = f
        return f
    return keep
ORDER = []
class Plugin:
    known = {}
    def __init_subclass__(cls, key="", **rest):
        super().__init_subclass__(**rest)
        Plugin.known[key] = cls
class Node:
    def value(self): return 0
    @classmethod
    def all(cls): return [child().value() for child in cls.__subclasses__()]
""",
        "shop/reg_a@@.py": """
from shop.reg@@ import handler, Plugin, ORDER, Node
@handler("«key:a→aa»")
def first(): return «first:1→2»
@handler("b")
def second(): return «second:1→2»
class One(Plugin, key="one"):
    def run(self): return «plugin:1→2»
class Leaf(Node):
    def value(self): return «leaf:1→2»
ORDER.append(first)
ORDER.«append:append(second)→insert(0, second)»
""",
        "shop/reg_use@@.py": ASSET
        + """
from shop import reg@@, reg_a@@
from shop.reg_a@@ import second, first
TABLE = {«table:"x": first, "y": second→"y": second, "x": first»}
@asset
def r@@_by_name(): return reg@@.HANDLERS["b"]()
@asset
def r@@_all(): return [(k, f()) for k, f in reg@@.HANDLERS.items()]
@asset
def r@@_plugins(): return [c().run() for c in reg@@.Plugin.known.values()]
@asset
def r@@_order(): return [f.__name__ for f in reg@@.ORDER]
@asset
def r@@_table(): return [key for key in TABLE]
@asset
def r@@_looked(): return TABLE["x"]()
@asset
def r@@_nodes(): return reg@@.Node.all()
""",
    },
    key="r@@_by_name r@@_all r@@_order r@@_table r@@_looked",
    first="r@@_by_name r@@_all r@@_order r@@_table r@@_looked",
    second="r@@_by_name r@@_all r@@_order r@@_table r@@_looked",
    plugin="r@@_plugins",
    leaf="r@@_nodes",
    append="r@@_order",
    table="r@@_table",
)
