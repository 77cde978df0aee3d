"""The works that all tools are given: graphs of assets as values, with their bodies as Python and as SQL.

One text of a body serves every tool that runs Python, so that they differ in nothing but what surrounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

ROWS = 10
MODULUS = 1_000_003
MODULE_ASSETS = 100


@dataclass(frozen=True, slots=True)
class Node:
    """One asset: what it reads, and its body, in which `{constant}` is what an edit changes.

    Attributes:
        name: an identifier, of Python and of SQL.
        reads: the names of its upstreams; they are the parameters of the function.
        constant: a number of the body.
        python: statements, the last of which returns a frame.
        sql: a query, in which `{0}`, `{1}`, … are the upstreams; empty if there is none.
    """

    name: str
    reads: tuple[str, ...]
    constant: int
    python: str
    sql: str = ""

    @property
    def body(self) -> str:
        """The statements, ready to be indented."""
        return self.python.replace("{constant}", str(self.constant))

    def query(self, reference: Callable[[str], str]) -> str:
        """The SQL, with the upstreams written as the tool wants them."""
        text = self.sql
        for word, value in (("constant", self.constant), ("modulus", MODULUS), ("rows", ROWS)):
            text = text.replace(f"{{{word}}}", str(value))
        for number, name in enumerate(self.reads):
            text = text.replace(f"{{{number}}}", reference(name))
        return text


@dataclass(frozen=True, slots=True)
class Graph:
    """Assets in an order in which they can be made.

    Attributes:
        nodes: the assets.
        header: statements in front of the functions.
    """

    nodes: tuple[Node, ...]
    header: str = "import pandas as pd\n"

    def edited(self, name: str, constant: int) -> Graph:
        """The same graph after an edit of one body."""
        return replace(
            self, nodes=tuple(replace(one, constant=constant) if one.name == name else one for one in self.nodes)
        )

    def affected(self, name: str) -> list[str]:
        """An asset and all that is made of it, in order: what has to be made anew when its value is another."""
        found = {name}
        for node in self.nodes:
            if not found.isdisjoint(node.reads):
                found.add(node.name)
        return [node.name for node in self.nodes if node.name in found]

    def modules(self) -> Mapping[str, Sequence[Node]]:
        """The assets by the name of the module that declares them, a hundred in each."""
        parts = range(0, len(self.nodes), MODULE_ASSETS)
        return {f"part_{start // MODULE_ASSETS:03}": self.nodes[start : start + MODULE_ASSETS] for start in parts}

    def module_of(self, name: str) -> str:
        """The module that declares an asset."""
        return next(module for module, nodes in self.modules().items() if any(one.name == name for one in nodes))


def python_module(graph: Graph, nodes: Sequence[Node], imports: str, decorator: Callable[[Node], str]) -> str:
    """The text of a module with a function for each asset: parameters are upstreams, and a frame is returned."""
    parts = [graph.header + imports]
    for node in nodes:
        parameters = ", ".join(f"{name}: pd.DataFrame" for name in node.reads)
        body = "".join(f"    {line}\n" for line in node.body.splitlines())
        parts.append(f"{decorator(node)}def {node.name}({parameters}) -> pd.DataFrame:\n{body}")
    return "\n\n".join(parts)


# ------------------------------------------------------------------------------------------------------ tiny assets


def layered(count: int) -> Graph:
    """Tiny assets in layers: each reads three of the layer above and makes ten rows."""
    width = 5 if count <= 10 else 10 if count <= 100 else 50 if count <= 1000 else 100
    nodes: list[Node] = []
    for number in range(count):
        layer, place = divmod(number, width)
        if layer == 0:
            nodes.append(
                Node(
                    f"t{layer}_{place}",
                    (),
                    number + 1,
                    f'return pd.DataFrame({{"id": range({ROWS}), '
                    f'"value": [(7 * one + {{constant}}) % {MODULUS} for one in range({ROWS})]}})',
                    "select range as id, (7 * range + {constant}) % {modulus} as value from range({rows})",
                )
            )
            continue
        reads = tuple(f"t{layer - 1}_{(place + more) % width}" for more in range(3))
        total = " + ".join(f'{name}["value"]' for name in reads)
        nodes.append(
            Node(
                f"t{layer}_{place}",
                reads,
                number + 1,
                f'return pd.DataFrame({{"id": {reads[0]}["id"], "value": ({total} + {{constant}}) % {MODULUS}}})',
                "select id, (a.value + b.value + c.value + {constant}) % {modulus} as value "
                "from {0} a join {1} b using (id) join {2} c using (id)",
            )
        )
    return Graph(tuple(nodes))


def tiny_values(graph: Graph) -> dict[str, list[int]]:
    """What the tiny assets of a layered graph have to contain, worked out without any library."""
    values: dict[str, list[int]] = {}
    for node in graph.nodes:
        if node.reads:
            columns = zip(*(values[name] for name in node.reads), strict=True)
            values[node.name] = [(sum(one) + node.constant) % MODULUS for one in columns]
        else:
            values[node.name] = [(7 * one + node.constant) % MODULUS for one in range(ROWS)]
    return values


# ------------------------------------------------------------------------------------------------------- big frames

_BASE = """\
random = np.random.default_rng({constant})
rows = ROWS
names = np.array([f"customer {number:05d}" for number in range(20_000)], dtype=object)
return pd.DataFrame(
    {
        "id": np.arange(rows),
        "quantity": random.integers(0, 1_000_000, rows),
        "price": random.random(rows) * 100,
        "weight": random.normal(size=rows),
        "customer": pd.Series(names[random.integers(0, len(names), rows)], dtype="str"),
        "moment": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.integers(0, 10**9, rows)), unit="ms"),
    }
)
"""
_BASE_SQL = """\
select range as id, cast(random() * 1000000 as bigint) as quantity, random() * 100 as price,
    sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) as weight,
    'customer ' || lpad(cast(cast(floor(random() * 20000) as int) as varchar), 5, '0') as customer,
    timestamp '2024-01-01' + to_milliseconds(range * 200) as moment
from range({rows})"""


def _step(name: str, read: str, column: str, operation: str) -> Node:
    sql = "select * replace (COLUMN OPERATION {constant} as COLUMN) from {0}"
    return Node(
        name,
        (read,),
        3,
        f"return {read}.assign({column}={read}[{column!r}] {operation} {{constant}})",
        sql.replace("COLUMN", column).replace("OPERATION", operation),
    )


def _base(rows: int) -> Node:
    return Node("base", (), 7, _BASE.replace("ROWS", str(rows)), _BASE_SQL.replace("{rows}", str(rows)))


_FRAME_HEADER = "import numpy as np\nimport pandas as pd\n"


def chain(rows: int) -> Graph:
    """Five assets of so many rows and six columns, each made of the one before."""
    steps = [
        _step("first", "base", "price", "*"),
        _step("second", "first", "quantity", "+"),
        _step("third", "second", "weight", "*"),
        _step("fourth", "third", "price", "+"),
    ]
    return Graph((_base(rows), *steps), _FRAME_HEADER)


def diamond(rows: int) -> Graph:
    """Five assets of so many rows and six columns: two of one, one of the two, and one of that."""
    joined = Node(
        "joined",
        ("west", "east"),
        2,
        'return west.assign(quantity=east["quantity"], weight=west["weight"] * {constant} + east["price"])',
        "select l.id, r.quantity, l.price, l.weight * {constant} + r.price as weight, l.customer, l.moment "
        "from {0} l join {1} r using (id)",
    )
    steps = (_step("west", "base", "price", "*"), _step("east", "base", "quantity", "+"))
    return Graph((_base(rows), *steps, joined, _step("fourth", "joined", "price", "+")), _FRAME_HEADER)
