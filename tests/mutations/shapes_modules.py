"""Shapes: how modules find each other, code that is made or found when it runs, and what lies outside the project."""

from __future__ import annotations

from tests.mutations.shapes import ASSET, shape

shape(
    "imports",
    {
        "shop/imp@@.py": """
__all__ = ["starred", "STAR"]
STAR = «star:1→2»
def starred(): return STAR + «starred:1→2»
def hidden(): return «hidden:1→2»
LOCAL = «local:1→2»
def reexported(): return «reexported:1→2»
def renamed(): return «renamed:1→2»
""",
        "shop/hub@@.py": "from shop.imp@@ import reexported\nfrom .imp@@ import renamed as again\n",
        "shop/cond@@.py": """
try:
    import surely_not_installed_@@ as fast
except ImportError:
    fast = None
if fast is None:
    def work(): return «slow:1→2»
else:
    def work(): return «=fast:1→2»
""",
        "shop/star@@.py": ASSET
        + """
from shop.imp@@ import *
from . import imp@@ as module, cond@@
from .hub@@ import reexported, again
import shop.imp@@
@asset
def i@@_star(): return starred()
@asset
def i@@_module(): return module.hidden()
@asset
def i@@_dotted(): return shop.imp@@.hidden()
@asset
def i@@_local():
    from shop.imp@@ import LOCAL as mine
    return mine
@asset
def i@@_local_module():
    import shop.imp@@ as m
    return m.LOCAL
@asset
def i@@_hub(): return [reexported(), again()]
@asset
def i@@_work(): return cond@@.work()
""",
    },
    star="i@@_star",
    starred="i@@_star",
    hidden="i@@_module i@@_dotted",
    local="i@@_local i@@_local_module",
    reexported="i@@_hub",
    renamed="i@@_hub",
    slow="i@@_work",
)

shape(
    "what an import means",
    {
        "shop/left@@.py": "def g(): return h()\ndef h(): return 1\n",
        "shop/right@@.py": "def g(): return h()\ndef h(): return 2\n",
        "shop/switch@@.py": ASSET
        + """
from shop.«which:left@@→right@@» import g
from math import «outside:floor→ceil» as whole
import «library:json→marshal» as codec
@asset
def sw@@_g(): return g()
@asset
def sw@@_whole(): return whole(1.5)
@asset
def sw@@_codec(): return repr(codec.dumps([1]))
""",
    },
    which="sw@@_g",
    outside="sw@@_whole",
    library="sw@@_codec",
)

shape(
    "namespace packages",
    {
        "ns@@/inner/m.py": "def f(): return «f:1→2»\ndef g(): return «g:1→2»\n",
        "shop/nsuse@@.py": ASSET
        + """
import ns@@.inner.m
from ns@@.inner import m as short
@asset
def ns@@_dotted(): return ns@@.inner.m.f()
@asset
def ns@@_short(): return short.g()
""",
    },
    f="ns@@_dotted",
    g="ns@@_short",
)

shape(
    "found when it runs",
    {
        "shop/dyn@@.py": """
def first(): return «first:1→2»
def second(): return «second:1→2»
VALUE = «value:1→2»
""",
        "shop/find@@.py": ASSET
        + """
import importlib
from shop import dyn@@
X = «x:1→2»
made = {}
exec("def text(): return «exec:1→2»", made)
text = made["text"]
namespace = {}
exec("def inside(): return X + «inside:1→2»", globals(), namespace)
inside = namespace["inside"]
@asset
def f@@_getattr(): return getattr(dyn@@, "fir" + "st")()
@asset
def f@@_named(): return importlib.import_module("shop.dyn@@").second()
@asset
def f@@_computed(): return importlib.import_module("shop." + "dyn@@").second()
@asset
def f@@_vars(): return vars(dyn@@)["VALUE"]
@asset
def f@@_text(): return text()
@asset
def f@@_inside(): return inside()
@asset
def f@@_eval(): return eval("X + 1")
@asset
def f@@_globals(): return globals()["X"]
""",
    },
    first="f@@_getattr f@@_named f@@_computed f@@_vars f@@_eval f@@_globals +",
    second="f@@_getattr f@@_named f@@_computed f@@_vars f@@_eval f@@_globals +",
    value="f@@_getattr f@@_named f@@_computed f@@_vars f@@_eval f@@_globals +",
    x="f@@_inside f@@_eval f@@_globals f@@_computed +",
    exec="f@@_text f@@_eval f@@_globals f@@_computed +",
    inside="f@@_inside f@@_eval f@@_globals f@@_computed +",
)

shape(
    "put on others",
    {
        "shop/patch@@.py": """
import json
import fractions
import functools
def total@@(self): return self + «method:1→2»
fractions.Fraction.total@@ = total@@
json.constant@@ = «constant:1→2»
setattr(json, "named@@", «named:1→2»)
import builtins
builtins.everywhere@@ = lambda: «builtin:1→2»
def helper(): return 1
helper.extra = «extra:1→2»
""",
        "shop/patched@@.py": ASSET
        + """
import json
from fractions import Fraction
from shop import patch@@
@asset
def pa@@_method(): return str(Fraction(1, 2).total@@())
@asset
def pa@@_constant(): return json.constant@@
@asset
def pa@@_named(): return json.named@@
@asset
def pa@@_builtin(): return everywhere@@()
@asset
def pa@@_extra(): return patch@@.helper.extra
""",
    },
    method="pa@@_method",
    constant="pa@@_constant",
    named="pa@@_named",
    builtin="pa@@_builtin",
    extra="pa@@_extra",
)

shape(
    "module state",
    {
        "shop/state@@.py": """
import os, threading
from pathlib import Path
_cache = {}
LOCK = threading.Lock()
HERE = Path(__file__).parent / "«path:data→datum»"
VERSION = __name__ + "«version:1→2»"
counter = 0
def bump():
    global counter
    counter = «set:5→6»
    return counter
def remember(k):
    with LOCK:
        return _cache.setdefault(k, k * «remember:2→3»)
items = []
for i in range(«loop:3→4»):
    items.append(i)
items.sort(reverse=«reverse:True→False»)
total = 0
total += «added:1→2»
a, (b, *c) = 1, («unpacked:2→3», 3, 4)
with open(os.devnull) as stream:
    inside = «inside:1→2»
if (walrus := «walrus:1→2») > 0:
    pass
""",
        "shop/stated@@.py": ASSET
        + """
from shop import state@@ as s
@asset
def st@@_bump(): return s.bump()
@asset
def st@@_remember(): return s.remember(7)
@asset
def st@@_items(): return s.items
@asset
def st@@_total(): return s.total
@asset
def st@@_unpacked(): return [s.a, s.b, s.c]
@asset
def st@@_inside(): return s.inside
@asset
def st@@_walrus(): return s.walrus
@asset
def st@@_here(): return [s.HERE.name, s.VERSION]
""",
    },
    set="st@@_bump",
    remember="st@@_remember",
    loop="st@@_items",
    reverse="st@@_items",
    added="st@@_total",
    unpacked="st@@_unpacked",
    inside="st@@_inside",
    walrus="st@@_walrus",
    path="st@@_here",
    version="st@@_here",
)

shape(
    "read from files",
    {
        "data@@.txt": "«text:1→2→three»",
        "shop/file@@.py": ASSET
        + """
from pathlib import Path
TEXT = (Path(__file__).parents[1] / "data@@.txt").read_text()
class Limits:
    pass
Limits.text = TEXT.upper()
def reader():
    return TEXT
@asset
def fi@@_text(): return TEXT
@asset
def fi@@_class(): return Limits.text
@asset
def fi@@_reader(): return reader()
""",
    },
    text="fi@@_text fi@@_class fi@@_reader",
)

shape(
    "documents",
    {
        "shop/doc@@.py": ASSET
        + '''
import inspect
import typing
def told():
    """«told:One.→Two.»"""
def typed(x: «typed:int→float»): return x
def plain(x: «=plain:int→float»):
    """«=plain_doc:One.→Two.»"""
    return x
def source():
    # «comment:why→because»
    return 1
class Model:
    """«model:One.→Two.»"""
@asset
def do@@_told(): return told.__doc__
@asset
def do@@_typed(): return str(typing.get_type_hints(typed))
@asset
def do@@_plain(): return plain(1)
@asset
def do@@_source(): return inspect.getsource(source)
@asset
def do@@_model(): return inspect.getdoc(Model)
'''
    },
    told="do@@_told",
    typed="do@@_typed",
    comment="do@@_source",
    model="do@@_model",
)
