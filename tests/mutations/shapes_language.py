"""Shapes: the language itself, values of the standard library and of other libraries, and unusual objects."""

from __future__ import annotations

import importlib.util

from tests.mutations.shapes import ASSET, shape

shape(
    "statements",
    {
        "shop/lang@@.py": ASSET
        + """
import asyncio
from contextlib import suppress
K = «k:2→3»
async def fetch(n): return n + «awaited:1→2»
async def stream():
    for i in range(«streamed:2→3»): yield i
async def main(): return [await fetch(1), [i async for i in stream()]]
def gen():
    x = yield from range(«yielded:2→3»)
    return x
def matched(v):
    match v:
        case {"kind": "«case:a→b»", **rest}: return len(rest)
        case [1, *others] if others «guard:==→!=» [2]: return "list"
        case int() | str(): return "«atom:atom→other»"
        case _: return None
def caught():
    try:
        return 1 / 0
    except «caught:ZeroDivisionError→KeyError» as error:
        return type(error).__name__
    finally:
        pass
def boolean(a, b): return a «both:and→or» b
def compared(a): return «chain:0 < a < 5→0 < a <= 5»
def sliced(a): return a[«slice:1:→:1→::2»]
def formatted(x): return f"{x«conversion:!r→!s»:>{«width:5→6»}} «=joined:and→and»"
def starred(*args, sep="«sep:,→;»", **kw): return sep.join(map(str, args)) + str(sorted(kw))
def deleted():
    d = {"a": 1, "b": 2}
    del d["«deleted:a→b»"]
    return d
def loops(n):
    out = []
    for i in range(n):
        if i == 2: «loop:continue→break»
        out.append(i)
    else:
        out.append("«else:done→over»")
    while out and out[0] «while:<→==» 0: out.pop()
    return out
def outer(): return K
K2 = 1
def shadow(K2): return K2
@asset
def l@@_async(): return asyncio.run(main())
@asset
def l@@_gen(): return list(gen())
@asset
def l@@_match(): return [matched({"kind": "a", "n": 1}), matched([1, 2]), matched(3)]
@asset
def l@@_caught(): return caught()
@asset
def l@@_operators(): return [boolean(1, 0), compared(5), sliced("abc"), deleted(),
    7 «operator://→/→%→**» 2, «not:not 1→1»]
@asset
def l@@_text(): return [formatted("a"), starred(1, 2, x=1)]
@asset
def l@@_loops(): return loops(4)
@asset
def l@@_scopes(): return [[K for K in range(2)], outer(), shadow(5), (lambda K: K)(1), {k: K for k in "ab"}]
"""
    },
    k="l@@_scopes",
    awaited="l@@_async",
    streamed="l@@_async",
    yielded="l@@_gen",
    case="l@@_match",
    guard="l@@_match",
    atom="l@@_match",
    both="l@@_operators",
    chain="l@@_operators",
    slice="l@@_operators",
    deleted="l@@_operators",
    operator="l@@_operators",
    conversion="l@@_text",
    width="l@@_text",
    sep="l@@_text",
    loop="l@@_loops",
    **{"else": "l@@_loops", "while": "l@@_loops", "not": "l@@_operators", "caught": "l@@_caught"},
)

shape(
    "recursion",
    {
        "shop/rec_a@@.py": """
from shop import rec_b@@
def even(n): return «even:True→"yes"» if n == 0 else rec_b@@.odd(n - 1)
""",
        "shop/rec_b@@.py": ASSET
        + """
from shop import rec_a@@
def odd(n): return «odd:False→"no"» if n == 0 else rec_a@@.even(n - 1)
def fact(n): return «fact:1→2» if n < 2 else n * fact(n - 1)
cyclic = ["«cyclic:a→b»"]
cyclic.append(cyclic)
class Tree:
    def __init__(self, name): self.name, self.children, self.parent = name, [], None
    def add(self, child):
        self.children.append(child)
        child.parent = self
        return self
ROOT = Tree("root").add(Tree("«leaf:x→y»"))
@asset
def re@@_even(): return [rec_a@@.even(4), rec_a@@.even(3)]
@asset
def re@@_fact(): return fact(4)
@asset
def re@@_cyclic(): return cyclic[1][1][0]
@asset
def re@@_tree(): return ROOT.children[0].name
""",
    },
    even="re@@_even",
    odd="re@@_even",
    fact="re@@_fact",
    cyclic="re@@_cyclic",
    leaf="re@@_tree",
)

shape(
    "generics and enums",
    {
        "shop/gen@@.py": ASSET
        + """
import enum
from typing import Generic, TypeVar, Protocol, Annotated
T = TypeVar("T")
class Box(Generic[T]):
    def __init__(self, x: T) -> None: self.x = x
    def get(self) -> T: return [self.x, «generic:1→2»]
class HasArea(Protocol):
    def area(self) -> float: ...
class Square:
    def area(self): return «area:1→2»
class Color(enum.Enum):
    RED = «red:1→2»
    BLUE = "«=blue_kept:b→b»"
    def title(self): return self.name + "«title:!→?»"
class Flag(enum.IntFlag):
    A = enum.auto()
    B = «flag:enum.auto()→8»
Made = enum.Enum("Made", "«made:x y→y x»")
DEFAULT = Color.RED
Alias = Annotated[int, «meta:1→2»]
def area_of(shape: HasArea): return shape.area()
@asset
def g@@_box(): return Box[int](1).get()
@asset
def g@@_area(): return area_of(Square())
@asset
def g@@_color(): return [DEFAULT.value, Color.BLUE.title()]
@asset
def g@@_flag(): return int(Flag.A | Flag.B)
@asset
def g@@_made(): return [(m.name, m.value) for m in Made]
@asset
def g@@_alias(): return repr(Alias.__metadata__)
"""
    },
    generic="g@@_box",
    area="g@@_area",
    red="g@@_color",
    title="g@@_color",
    flag="g@@_flag",
    made="g@@_made",
    meta="g@@_alias",
)

shape(
    "metaclasses and descriptors",
    {
        "shop/meta@@.py": ASSET
        + """
from functools import singledispatchmethod, partialmethod, total_ordering, reduce
import operator
class Meta(type):
    def __new__(mcs, name, bases, ns):
        ns["stamp"] = «stamp:1→2»
        return super().__new__(mcs, name, bases, ns)
    def shout(cls): return cls.__name__ + "«shout:!→?»"
class Made(metaclass=Meta): pass
class Field:
    def __set_name__(self, owner, name): self.name = name
    def __get__(self, obj, owner=None): return self.name + "«get:1→2»"
class Holder:
    field = Field()
    def __getattr__(self, name): return name + "«getattr:1→2»"
class Dispatch:
    @singledispatchmethod
    def go(self, x): return 0
    @go.register
    def _(self, x: int): return «dispatch:1→2»
    half = partialmethod(lambda self, n: n, «half:1→2»)
class Mixin:
    def mixed(self): return «mixed:1→2»
class Whole(Mixin, dict):
    def __missing__(self, key): return «missing:1→2»
def built(n): return type("Built", (Mixin,), {"n": n})
Built = built(«built:1→2»)
get = operator.itemgetter(«item:0→1»)
caller = operator.methodcaller("«caller:upper→lower»")
class Callable_:
    def __call__(self): return «call:1→2»
call = Callable_()
class Own:
    def __init__(self, x): self.x, self.noise = x, object()
    def __fingerprint__(self): return self.x
own = Own(«own:1→2»)
WHOLE = Whole(a=«whole:1→2»)
method = Mixin().mixed
@asset
def m@@_meta(): return [Made.stamp, Made.shout()]
@asset
def m@@_holder(): return [Holder().field, Holder().zzz]
@asset
def m@@_dispatch(): return [Dispatch().go(1), Dispatch().half()]
@asset
def m@@_whole(): return [WHOLE["zz"], WHOLE["a"]]
@asset
def m@@_built(): return [Built.n, Built().mixed()]
@asset
def m@@_operators(): return [get("ab"), caller("a")]
@asset
def m@@_call(): return [call(), own.x]
@asset
def m@@_method(): return method()
"""
    },
    stamp="m@@_meta",
    shout="m@@_meta",
    get="m@@_holder",
    getattr="m@@_holder",
    dispatch="m@@_dispatch",
    half="m@@_dispatch",
    mixed="m@@_whole m@@_built m@@_method",
    missing="m@@_whole",
    built="m@@_built",
    item="m@@_operators",
    caller="m@@_operators",
    call="m@@_call",
    own="m@@_call",
    whole="m@@_whole",
)

shape(
    "collections",
    {
        "shop/coll@@.py": ASSET
        + """
from collections import defaultdict, OrderedDict, Counter, deque, ChainMap
from types import SimpleNamespace, MappingProxyType
from functools import partial
import string, uuid, itertools, random, struct
TABLE = defaultdict(lambda: «missing:0→1», a=«table:1→2»)
ORDERED = OrderedDict([("a", 1), («ordered:"b", 2→"b", 3»)])
COUNTS = Counter("«counted:aab→abb»")
QUEUE = deque([1, 2], maxlen=«maxlen:2→3»)
CHAIN = ChainMap({"a": «chain:1→2»}, {"b": 2})
SPACE = SimpleNamespace(x=«space:1→2», inner=SimpleNamespace(y=«inner:1→2»))
PROXY = MappingProxyType({"x": «proxy:1→2»})
FROZEN = frozenset([«frozen:1→2»])
TEMPLATE = string.Template("$x «template:a→b»")
ID = uuid.UUID(int=«uuid:1→2»)
PART = partial(int, base=«base:2→8»)
RNG = random.Random(«seed:1→2»)
PACKED = struct.Struct("«packed:<i→>i»")
BYTES = bytearray(b"«bytes:a→b»")
SLICE = slice(0, «slice:1→2»)
@asset
def co@@_table(): return [TABLE["zz"], TABLE["a"]]
@asset
def co@@_ordered(): return [list(ORDERED.items()), COUNTS.most_common(1), list(QUEUE), QUEUE.maxlen, CHAIN["a"]]
@asset
def co@@_space(): return [SPACE.x, SPACE.inner.y, PROXY["x"], sorted(FROZEN)]
@asset
def co@@_texts(): return [TEMPLATE.substitute(x=1), str(ID), PART("10"), PACKED.pack(1), bytes(BYTES), [1, 2][SLICE]]
@asset
def co@@_random(): return random.Random(RNG.getstate()[1][1]).random()
"""
    },
    missing="co@@_table",
    table="co@@_table",
    ordered="co@@_ordered",
    counted="co@@_ordered",
    maxlen="co@@_ordered",
    chain="co@@_ordered",
    space="co@@_space",
    inner="co@@_space",
    proxy="co@@_space",
    frozen="co@@_space",
    template="co@@_texts",
    uuid="co@@_texts",
    base="co@@_texts",
    seed="co@@_random",
    packed="co@@_texts",
    bytes="co@@_texts",
    slice="co@@_texts",
)

shape(
    "values in other places",
    {
        "shop/odd@@.py": """
def keep(box, n):
    def read(): return next(iter(box())) + n
    return read
class Job:
    def __init__(self, make): self.make = make
    def run(self): return self.make()
""",
        "shop/odd_use@@.py": ASSET
        + """
from shop.odd@@ import keep, Job
class Odd:
    __slots__ = ("__hidden",)
    def __init__(self, x): self.__hidden = x
    def get(self): return self.__hidden
odd = Odd(«hidden:1→2»)
read = keep(lambda: [«boxed:1→2»], «n:1→2»)
jobs = {"a": Job(lambda: «job:1→2»), "b": Job(int)}
STREAM = (n for n in [«opaque:1→2»])
chosen = min(STREAM)
@asset
def o@@_odd(): return odd.get()
@asset
def o@@_read(): return read()
@asset
def o@@_jobs(): return [job.run() for job in jobs.values()]
@asset
def o@@_default(x=[«mutable:1→2»], *, y=Odd(«kw:1→2»)): return [x, y.get()]
@asset
def o@@_chosen(): return chosen
""",
    },
    hidden="o@@_odd",
    boxed="o@@_read",
    n="o@@_read",
    job="o@@_jobs",
    mutable="o@@_default",
    kw="o@@_default",
    opaque="o@@_chosen",
)

if importlib.util.find_spec("pydantic"):
    shape(
        "pydantic",
        {
            "shop/py@@.py": ASSET
            + '''
from pydantic import BaseModel, Field, field_validator, computed_field
class Item(BaseModel):
    """«doc:One.→Two.»"""
    n: «type:int→float» = «n:1→2»
    name: str = Field(default="«name:a→b»", max_length=«longest:5→6»)
    @field_validator("name")
    @classmethod
    def short(cls, v): return v + "«validated:!→?»"
    @computed_field
    @property
    def twice(self) -> int: return self.n * «twice:2→3»
class Sub(Item):
    extra: int = «extra:1→2»
DEFAULT = Item(n=«instance:5→6», name="x")
@asset
def py@@_item(): return [Item(n=3, name="q").model_dump(), Item().n, str(Item.model_json_schema())]
@asset
def py@@_sub(): return Sub(name="q").model_dump()
@asset
def py@@_default(): return DEFAULT.n
'''
        },
        type="py@@_item py@@_sub py@@_default",
        n="py@@_item py@@_sub py@@_default",
        name="py@@_item py@@_sub py@@_default",
        longest="py@@_item py@@_sub py@@_default",
        validated="py@@_item py@@_sub py@@_default",
        twice="py@@_item py@@_sub py@@_default",
        extra="py@@_sub",
        instance="py@@_default",
        doc="py@@_item",
    )

if importlib.util.find_spec("pandas"):
    shape(
        "dataframes",
        {
            "shop/df@@.py": ASSET
            + """
import numpy as np
import pandas as pd
WEIGHTS = np.array([1.0, «weight:2.0→3.0», 3.0])
BIG = np.arange(5000)
BIG[«place:2500→2501»] = 7
FRAME = pd.DataFrame({"a": [1, «cell:2→3»], "b": ["x", "«word:y→z»"]}, index=[0, «index:1→2»])
SERIES = pd.Series([1, 2], name="«series:s→t»")
DAY = pd.Timestamp("2026-01-«day:01→02»")
CATS = pd.Categorical(["a"], categories=["a", «cats:"b"→"c"»])
KIND = np.dtype("«dtype:i4→i8»")
SCALAR = np.float32(«scalar:1→2»)
@pd.api.extensions.register_series_accessor("acc@@")
class Accessor:
    def __init__(self, series): self.series = series
    def more(self): return self.series.sum() + «accessor:1→2»
@asset
def df@@_arrays(): return [WEIGHTS.sum(), int((BIG * np.arange(5000)).sum()), str(KIND), float(SCALAR)]
@asset
def df@@_frame(): return FRAME.to_csv()
@asset
def df@@_series(): return [SERIES.name, DAY.isoformat(), CATS.categories.tolist()]
@asset
def df@@_accessor(): return int(pd.Series([1, 2]).acc@@.more())
"""
        },
        weight="df@@_arrays",
        place="df@@_arrays",
        dtype="df@@_arrays",
        scalar="df@@_arrays",
        cell="df@@_frame",
        word="df@@_frame",
        index="df@@_frame",
        series="df@@_series",
        day="df@@_series",
        cats="df@@_series",
        accessor="df@@_accessor",
    )
