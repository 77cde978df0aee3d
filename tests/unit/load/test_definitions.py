"""Loading a project: what specs and bindings a declaration gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path

import pytest

from assetflow import asset, check, foreign_key, source, unique
from assetflow.errors import ProjectLoadError, UsageError
from assetflow.load.definitions import load_definitions, load_project
from assetflow.load.live import Loaded, make_resource
from assetflow.load.settings import read_settings
from assetflow.model.policies import Retry
from assetflow.model.spec import AssetSpec, spec_from_json, spec_to_json

Load = Callable[..., Loaded]
HEADER = "from assetflow import *\nfrom typing import Annotated\nimport assetflow as af\n"


def spec(loaded: Loaded, key: str) -> AssetSpec:
    return next(one for one in loaded.specs if one.key == key)


def inputs(loaded: Loaded, key: str) -> list[tuple[str, str, str]]:
    return [(one.parameter, one.upstream, one.mode) for one in spec(loaded, key).inputs]


def test_parameter_names_are_the_lineage(load: Load) -> None:
    loaded = load(assets=HEADER + """
raw = source("raw", path="raw.csv")
@asset
def clean(raw): return raw
@asset(key="marts.report")
def build(clean): return clean
@asset
def top(report): return report
""")  # fmt: skip
    assert inputs(loaded, "clean") == [("raw", "raw", "value")]
    assert inputs(loaded, "marts.report") == [("clean", "clean", "value")]
    assert inputs(loaded, "top") == [("report", "marts.report", "value")]
    assert {spec(loaded, key).group for key in ("raw", "clean", "top")} == {"assets"}


def test_annotation_chooses_what_a_parameter_gets(load: Load) -> None:
    loaded = load(assets="""
from __future__ import annotations
from typing import TYPE_CHECKING, Annotated
from assetflow import Config, Context, In, Resource, asset
if TYPE_CHECKING:
    import pandas as pd
class Rates(Config):
    base: str = "GBP"
class Client(Resource):
    url: str = "x"
@asset
def raw() -> list[dict[str, int]]: return []
@asset
def report(
    raw: pd.DataFrame, part: Annotated[pd.DataFrame, In("raw", columns=["a", "b"])], context: Context,
    settings: Rates, client: Client | None, limit: int = 3, *, flag: bool = True,
) -> pd.DataFrame: ...
""")  # fmt: skip
    node = loaded.nodes["report"]
    found = [(one.parameter, one.kind, one.form, one.columns) for one in node.bindings]
    assert found[0] == ("raw", "asset", "pandas", None)
    assert found[1] == ("part", "asset", "pandas", ("a", "b"))
    assert [one[:2] for one in found[2:]] == [("context", "context"), ("settings", "config"), ("client", "resource")]
    assert (node.return_form, loaded.nodes["raw"].return_form) == ("pandas", "records")
    assert type(node.config).__name__ == "Rates"


def test_the_same_annotation_may_mean_another_thing_in_another_function(load: Load) -> None:
    made = """
from __future__ import annotations
from typing import Annotated
import pandas as pd
import pyarrow as pa
from assetflow import Config, In, asset
class Rates(Config):
    base: str = "GBP"
@asset
def raw() -> Table: ...
def make(name, Table):
    @asset(key=name)
    def made(raw: Table, rates: Rates, part: Annotated[Table, In("raw", columns=["a"])]) -> Table:
        return Table
    return made
both = [make("first", pd.DataFrame), make("second", pa.Table), make("third", pd.DataFrame)]
"""
    names = {"raw": "other", '"first"': '"fourth"', '"second"': '"fifth"', '"third"': '"sixth"'}
    again = reduce(lambda text, name: text.replace(name, names[name]), names, made)
    loaded = load(
        'modules = ["assets", "others"]', assets=f"{made}Table = bytes\n", others=f"{again}Table = pa.Table\n"
    )
    forms = {key: [one.form for one in node.bindings if one.kind == "asset"] for key, node in loaded.nodes.items()}
    assert forms == {
        "raw": [], "other": [], "first": ["pandas"] * 2, "second": ["arrow"] * 2, "third": ["pandas"] * 2,
        "fourth": ["pandas"] * 2, "fifth": ["arrow"] * 2, "sixth": ["pandas"] * 2,
    }  # fmt: skip
    assert [loaded.nodes[key].return_form for key in ("raw", "other", "second")] == ["bytes", "arrow", "arrow"]
    assert loaded.nodes["third"].bindings[2].columns == ("a",)


def test_columns_are_read_from_in(load: Load) -> None:
    loaded = load(assets=HEADER + """
import pandas as pd
@asset
def raw() -> pd.DataFrame: ...
@asset
def report(raw: Annotated[pd.DataFrame, In(columns=["a", "b"])]) -> pd.DataFrame: ...
""")  # fmt: skip
    assert inputs(loaded, "report") == [("raw", "raw", "columns")]
    assert loaded.nodes["report"].bindings[0].columns == ("a", "b")


def test_inputs_and_deps_name_assets_by_key_or_function(load: Load) -> None:
    loaded = load(assets=HEADER + """
token = source("token", version=lambda: 1)
@asset(key="a.orders")
def first(): ...
@asset(key="b.orders")
def second(): ...
@asset(inputs={"x": "a.orders", "y": second}, deps=[token, first, "last"])
def report(x, y): ...
@asset
def last(): ...
""")  # fmt: skip
    assert inputs(loaded, "report") == [
        ("x", "a.orders", "value"),
        ("y", "b.orders", "value"),
        ("", "token", "version"),
        ("", "last", "order"),
    ]


def test_asset_reads_its_namesake_of_another_schema(load: Load) -> None:
    loaded = load(assets=HEADER + """
@asset(key="raw.orders")
def first(): ...
@asset(key="marts.orders")
def second(orders): ...
""")  # fmt: skip
    assert inputs(loaded, "marts.orders") == [("orders", "raw.orders", "value")]


def test_one_function_can_make_several_assets(load: Load) -> None:
    loaded = load(assets=HEADER + """
@assets("paid", Out("unpaid", io="json", description="Open ones."), io="duckdb")
def split():
    '''Two tables.'''
""")  # fmt: skip
    assert [(one.key, one.node, one.io, one.description) for one in loaded.specs] == [
        ("paid", "paid", "duckdb", "Two tables."),
        ("unpaid", "paid", "json", "Open ones."),
    ]
    assert loaded.nodes["paid"].several


def test_defaults_go_from_project_to_group_to_asset(load: Load) -> None:
    loaded = load(
        """
        io = "duckdb"
        [defaults]
        retry = 2
        owners = ["all@x"]
        tags = ["shop"]
        [groups.gold]
        owners = ["gold@x"]
        io = "parquet"
        """,
        assets=HEADER + """
@asset
def plain(): ...
@asset(group="gold", tags={"tier": "1"})
def grouped(): ...
@asset(group="gold", io="json", owners=["me@x"], retry=0)
def own(): ...
""",
    )  # fmt: skip
    found = {one.key: (one.io, one.owners, one.retries, dict(one.tags)) for one in loaded.specs}
    assert found == {
        "plain": ("duckdb", ("all@x",), 2, {"shop": ""}),
        "grouped": ("parquet", ("gold@x",), 2, {"shop": "", "tier": "1"}),
        "own": ("json", ("me@x",), 0, {"shop": ""}),
    }
    assert loaded.nodes["plain"].retry == Retry(2)
    assert [node.outputs[0].io_is_explicit for node in loaded.nodes.values()] == [False, False, True]


def test_limits_and_packages_are_filled_up_from_group_and_project(load: Load) -> None:
    loaded = load(
        """
        pools = { api = 3, web = 3 }
        [defaults]
        timeout = "10m"
        memory = "1 GB"
        pool = "web"
        packages = { numpy = "exact", "*" = "minor" }
        [groups.gold]
        timeout = "20m"
        pool = { api = 2 }
        packages = { numpy = "minor" }
        """,
        assets=HEADER + """
@asset
def plain(): ...
@asset(group="gold")
def grouped(): ...
@asset(group="gold", timeout="1h", packages={"pandas": "exact"})
def own(): ...
""",
    )  # fmt: skip
    limits = {key: (node.limits.timeout_s, dict(node.limits.pools)) for key, node in loaded.nodes.items()}
    policies = {one.key: dict(one.package_policy) for one in loaded.specs}

    assert limits == {"plain": (600, {"web": 1}), "grouped": (1200, {"api": 2}), "own": (3600, {"api": 2})}
    assert len({node.limits.memory_bytes for node in loaded.nodes.values()}) == 1
    assert policies == {
        "plain": {"numpy": "exact", "*": "minor"},
        "grouped": {"numpy": "minor", "*": "minor"},
        "own": {"numpy": "minor", "*": "minor", "pandas": "exact"},
    }


def test_config_values_are_text_without_secrets(load: Load) -> None:
    files = {"assets": HEADER + """
class Rates(Config):
    base: str = "GBP"
    days: int = 3
    key: Secret = Secret("hidden")
@asset(key="fx.rates")
def rates(config: Rates): ...
"""}  # fmt: skip
    loaded = load('[config.fx.rates]\nbase = "EUR"\n', **files)
    assert spec(loaded, "fx.rates").config == {"base": '"EUR"', "days": "3"}
    assert "hidden" not in str(spec_to_json(spec(loaded, "fx.rates")))


def test_overrides_win_over_the_project_file(load: Load, tmp_path: Path) -> None:
    load('[config.rates]\nbase = "EUR"\n', assets=HEADER + """
class Rates(Config):
    base: str = "GBP"
    days: int = 3
@asset
def rates(config: Rates): ...
""")  # fmt: skip
    loaded = load_project(read_settings(tmp_path, environment={}), {"rates": {"base": "USD", "days": "9"}})
    assert spec(loaded, "rates").config == {"base": '"USD"', "days": "9"}


def test_checks_hang_on_their_asset_and_what_they_read_comes_first(load: Load) -> None:
    loaded = load(assets=HEADER + """
@asset
def customers(): ...
@asset(checks=[foreign_key("customer", "customers", "id"), not_null("id")])
def orders(): ...
@asset
def summary(orders): ...
@asset
def limits(): ...
@check(orders, blocking=False)
def small(orders, limits):
    '''Below the limits.'''
@check("orders")
def adds_up(orders, summary): ...
""")  # fmt: skip
    # A check may read what is made of its asset, but that cannot be built first.
    assert inputs(loaded, "orders") == [("", "customers", "order"), ("", "limits", "order")]
    assert [(one.name, one.blocking, one.description) for one in spec(loaded, "orders").checks] == [
        ("foreign_key(customer -> customers.id)", True, ""),
        ("not_null(id)", True, ""),
        ("small", False, "Below the limits."),
        ("adds_up", True, ""),
    ]
    live = loaded.nodes["orders"].outputs[0].custom_checks[1]
    assert [(one.parameter, one.upstream) for one in live.bindings] == [("orders", "orders"), ("summary", "summary")]


def test_definitions_in_lists_and_in_several_modules_count_once(load: Load) -> None:
    loaded = load(
        'modules = ["shop"]\n',
        shop__base=HEADER + "@asset\ndef base(): ...\n",
        shop__made=HEADER + """
from shop.base import base
def make(name):
    @asset(key=name)
    def table(base): return base
    return table
tables = [make(f"t{n}") for n in range(2)]
more = {"x": make("t2")}
""",
        **{"shop/__init__": "from shop.base import base\n"},
    )  # fmt: skip
    assert sorted(one.key for one in loaded.specs) == ["base", "t0", "t1", "t2"]
    assert loaded.files == ("shop/__init__.py", "shop/base.py", "shop/made.py")


def test_function_stays_the_function_that_was_written(load: Load) -> None:
    loaded = load(assets=HEADER + "@asset\ndef double(n=2): return 2 * n\n")
    assert loaded.nodes["double"].function(4) == 8


def test_edit_within_the_same_second_runs_the_new_code(load: Load) -> None:
    for number in (1, 2, 3):
        loaded = load(assets=HEADER + "import helper\n@asset\ndef one(): return helper.N\n", helper=f"N = {number}\n")
        assert loaded.nodes["one"].function() == number


def test_projects_with_modules_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name / "assets"
        folder.mkdir(parents=True)
        (tmp_path / name / "assetflow.toml").write_text("")
        (folder / "one.py").write_text(HEADER + f"import assets.{name}_only\n@asset\ndef {name}(): ...\n")
        (folder / f"{name}_only.py").write_text("")
    for name in ("a", "b", "a"):
        loaded = load_project(read_settings(tmp_path / name, environment={}))
        assert [one.key for one in loaded.specs] == [name]
        assert sum(str(tmp_path) in entry for entry in sys.path) == 1


def test_what_modules_print_goes_to_stderr(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load(assets=HEADER + "print('hello')\n@asset\ndef one(): ...\n")
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "hello\n")


def test_spec_is_the_same_after_json(load: Load) -> None:
    loaded = load(assets=HEADER + """
raw = source("raw", path="raw-*.csv", delimiter=";", freshness=Freshness(within="24h"))
@asset(checks=[not_null("id")], tags=["x"], retry=2)
def clean(raw): ...
""")  # fmt: skip
    for one in loaded.specs:
        assert spec_to_json(spec_from_json(spec_to_json(one))) == spec_to_json(one)


def test_source_spec_says_how_it_is_observed(load: Load, tmp_path: Path) -> None:
    loaded = load(assets=HEADER + """
a = source("a", path="data/a.csv")
b = source("b", version=lambda: 1, load=lambda: [], ttl="1h")
c = source("c", path="d.bin", format="csv")
@asset
def one(b): ...
""")  # fmt: skip
    found = {str(one.key): one.source for one in loaded.specs if one.source}
    assert (found["a"].path, found["a"].format) == (str(tmp_path / "data" / "a.csv"), "csv")
    assert (found["b"].has_token, found["b"].loadable, found["b"].ttl_s) == (True, True, 3600)
    assert found["c"].format == "csv"
    assert inputs(loaded, "one") == [("b", "b", "value")]


def test_resource_takes_environment_before_project_file_before_default(load: Load) -> None:
    loaded = load('[resources.HttpClient]\nbase_url = "file"\nretries = 2\n', assets=HEADER + """
class HttpClient(Resource):
    base_url: str
    retries: int = 1
    token: Secret = Secret("t")
@asset
def one(http: HttpClient): ...
""")  # fmt: skip
    ((cls, table),) = loaded.resources.items()
    made = make_resource(cls, table, {"HTTP_CLIENT_BASE_URL": "environment"})
    assert made.model_dump(exclude={"token"}) == {"base_url": "environment", "retries": 2}
    with pytest.raises(ProjectLoadError) as raised:
        make_resource(cls, {}, {"HTTP_CLIENT_RETRIES": "many"})
    assert [str(one) for one in raised.value.problems] == [
        "resource `HttpClient`: `base_url` is missing\n  help: set HTTP_CLIENT_BASE_URL, or `base_url` under "
        "[resources.HttpClient] in the project file",
        "resource `HttpClient`: `retries`: input should be a valid integer, unable to parse string as an integer\n"
        "  it came from $HTTP_CLIENT_RETRIES\n  help: set HTTP_CLIENT_RETRIES, or `retries` under "
        "[resources.HttpClient] in the project file",
    ]


# ---------------------------------------------------------------------------------------------- in memory


@asset
def clean(raw: list[int]) -> list[int]:
    return [number for number in raw if number > 0]


@asset(checks=[unique("x"), foreign_key("x", clean, "y")])
def total(clean: list[int]) -> int:
    return sum(clean)


@check(total)
def is_positive(total: int) -> bool:
    return total > 0


def test_values_in_memory_need_no_project() -> None:
    loaded = load_definitions([total, [clean], {"a": is_positive}], given=["raw"])
    assert [one.key for one in loaded.specs] == ["raw", "total", "clean"]
    assert loaded.given == {"raw"}
    assert inputs(loaded, "clean") == [("raw", "raw", "value")]
    assert [one.name for one in loaded.nodes["total"].outputs[0].custom_checks] == ["is_positive"]


def test_values_in_memory_report_problems_too() -> None:
    with pytest.raises(ProjectLoadError) as raised:
        load_definitions([total])
    assert "asset `total` needs `clean`, which is not an asset, source or resource" in str(raised.value)
    with pytest.raises(UsageError, match="3 is not an asset"):
        load_definitions([3])
    with pytest.raises(UsageError, match="is not an asset"):
        load_definitions([len])


def test_source_in_memory_is_a_value() -> None:
    loaded = load_definitions([source("raw", path="x.csv"), clean])
    assert list(loaded.sources) == ["raw"]


@pytest.fixture(autouse=True)
def nothing_is_left_on_the_path() -> Iterator[None]:
    yield
    assert not any(type(one).__name__ == "_Finder" for one in sys.meta_path)


def test_modules_of_the_project_are_found_by_any_name_that_leads_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "outer" / "finder_shop"
    (root / "lib").mkdir(parents=True)
    (root / "__init__.py").touch()
    (root / "assetflow.toml").write_text('modules = ["finder_assets"]\n')
    (root / "finder_helpers.py").write_text("RATE = 2\n")
    (root / "lib" / "finder_deep.py").write_text("RATE = 3\n")
    (root / "finder_assets.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "sys.path.append(str(Path(__file__).parent / 'lib'))\n"
        "import finder_deep\n"
        "from finder_shop import finder_helpers\n"
        "from assetflow import asset\n"
        "@asset\n"
        "def rates():\n"
        "    return [finder_deep.RATE, finder_helpers.RATE]\n"
    )
    monkeypatch.syspath_prepend(str(root.parent))

    loaded = load_project(read_settings(root))

    assert set(loaded.files) == {
        "__init__.py", "finder_assets.py", "finder_helpers.py", "lib/finder_deep.py",
    }  # fmt: skip
