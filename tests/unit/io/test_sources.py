from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from assetflow.errors import BadDeclaration, ContractBroken, SourceChanged, SourceMissing, SourceUnreadable
from assetflow.io.base import Want
from assetflow.io.sources import (
    FileState,
    Observation,
    check_options,
    format_of,
    observe_files,
    plain_format,
    read_source,
)
from assetflow.model.spec import SourceSpec

SHARED = (Path(__file__).parents[3] / "../shared/data").resolve()
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside the repository")


def observe(path: Path | str, known: Mapping[str, FileState] | None = None, now_ns: int | None = None) -> Observation:
    return observe_files(str(path), known or {}, time.time_ns() if now_ns is None else now_ns)


def read(path: Path | str, form: str = "arrow", want: tuple[str, ...] | None = None, **options: object) -> Any:
    given = options.pop("format", None)
    name = str(given or format_of(str(path)))
    check_options(name, options)
    spec = SourceSpec(str(path), name, None, options, False, False, True)
    return read_source(spec, observe(path), Want(form, want))


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def by_path(found: Observation) -> dict[str, FileState]:
    return {state.path: state for state in found.files}


def age(path: Path, seconds: float = 100) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


class TestObserving:
    def test_equal_content_has_an_equal_token_wherever_and_whenever_it_was_written(self, tmp_path: Path) -> None:
        one, two = write(tmp_path / "one.csv", "a\n1\n"), write(tmp_path / "deep/two.csv", "a\n1\n")
        age(two)

        assert observe(one).token == observe(two).token

    def test_other_content_has_another_token(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        before = observe(path)
        write(path, "a\n2\n")

        assert observe(path, by_path(before)).token != before.token

    def test_what_was_observed_says_size_and_time(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        os.utime(path, (1_700_000_000, 1_700_000_000))

        found = observe(path)

        assert (found.size_bytes, found.as_of) == (4, 1_700_000_000.0)

    def test_a_quiet_file_is_not_read_again(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        age(path)
        before = observe(path)
        stat = path.stat()
        # Forged state: only a cache that trusts the stat gives the wrong digest back.
        forged = FileState(
            str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns, "f", time.time_ns()
        )

        assert observe(path, {str(path): forged}).token == "xxh3:f" != before.token

    @pytest.mark.parametrize("what", ["size", "mtime_ns", "inode", "ctime_ns"])
    def test_any_difference_in_the_stat_is_looked_into(self, tmp_path: Path, what: str) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        age(path)
        stat = path.stat()
        values = {
            "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "inode": stat.st_ino, "ctime_ns": stat.st_ctime_ns,
        }  # fmt: skip
        values[what] += -1
        forged = FileState(str(path), **values, digest="forged", recorded_ns=time.time_ns())

        assert observe(path, {str(path): forged}).token == observe(path).token

    def test_a_file_that_was_new_when_recorded_is_read_again(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        stat = path.stat()
        just = stat.st_mtime_ns + 1_999_999_999
        forged = FileState(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns, "forged", just)
        later = FileState(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns, "kept", just + 2)

        assert observe(path, {str(path): forged}).files[0].digest != "forged"
        assert observe(path, {str(path): later}).files[0].digest == "kept"

    def test_the_state_is_recorded_at_the_time_that_was_given(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")

        assert observe(path, now_ns=12345).files[0].recorded_ns == 12345

    def test_a_glob_covers_names_and_contents_but_not_where_the_project_lies(self, tmp_path: Path) -> None:
        for root in ("here", "there"):
            write(tmp_path / root / "data/b.csv", "a\n2\n")
            write(tmp_path / root / "data/a.csv", "a\n1\n")
        here, there = (observe(tmp_path / root / "data/*.csv") for root in ("here", "there"))
        (tmp_path / "there/data/a.csv").rename(tmp_path / "there/data/c.csv")

        assert [Path(state.path).name for state in here.files] == ["a.csv", "b.csv"]
        assert here.token == there.token != observe(tmp_path / "there/data/*.csv").token

    def test_a_renamed_file_is_a_new_version_of_a_glob_also_when_the_order_stays(self, tmp_path: Path) -> None:
        path = write(tmp_path / "2024-01.csv", "a\n1\n")
        before = observe(tmp_path / "*.csv")
        path.rename(tmp_path / "2024-02.csv")

        assert observe(tmp_path / "*.csv").token != before.token

    def test_a_recursive_glob_leaves_folders_out(self, tmp_path: Path) -> None:
        write(tmp_path / "x/one.csv", "a\n1\n")
        write(tmp_path / "two.csv", "a\n1\n")
        (tmp_path / "folder.csv").mkdir()

        assert len(observe(tmp_path / "**/*.csv").files) == 2

    def test_a_file_whose_name_looks_like_a_glob_is_found(self, tmp_path: Path) -> None:
        path = write(tmp_path / "data[1].csv", "a\n1\n")

        assert observe(path).files[0].path == str(path)

    def test_missing_file_names_what_is_near(self, tmp_path: Path) -> None:
        write(tmp_path / "orders.csv", "")
        write(tmp_path / "weather.parquet", "")

        with pytest.raises(SourceMissing) as caught:
            observe(tmp_path / "ordrs.csv")

        assert str(tmp_path / "ordrs.csv") in caught.value.what
        assert caught.value.facts == (f"similar names in {tmp_path}: orders.csv",)
        assert caught.value.fix == "correct the file name to `orders.csv`, or put the file there"

    def test_missing_file_offers_no_other_one_that_only_ends_and_begins_alike(self, tmp_path: Path) -> None:
        for name in ("raw_customers.csv", "raw_products.csv"):
            write(tmp_path / name, "")

        with pytest.raises(SourceMissing) as caught:
            observe(tmp_path / "raw_orders.csv")

        assert caught.value.facts == (f"there is in {tmp_path}: raw_customers.csv, raw_products.csv",)
        assert caught.value.fix == "put the file there, or correct `path=` of the source"

    def test_missing_file_offers_the_same_name_with_another_ending(self, tmp_path: Path) -> None:
        write(tmp_path / "Orders.parquet", "")

        with pytest.raises(SourceMissing) as caught:
            observe(tmp_path / "orders.csv")

        assert "`Orders.parquet`" in (caught.value.fix or "")

    def test_missing_folder_names_the_folder_that_is_there(self, tmp_path: Path) -> None:
        write(tmp_path / "data/orders.csv", "")

        with pytest.raises(SourceMissing, match=r"similar names in .*: data(.|\n)*correct the folder to `data`"):
            observe(tmp_path / "dta/orders.csv")

    def test_a_file_in_place_of_a_folder_is_a_missing_source(self, tmp_path: Path) -> None:
        write(tmp_path / "data", "")

        with pytest.raises(SourceMissing):
            observe(tmp_path / "data/orders.csv")

    def test_glob_without_a_match_is_a_missing_source(self, tmp_path: Path) -> None:
        write(tmp_path / "orders-1.txt", "")

        with pytest.raises(SourceMissing, match=r"no file matches .*orders-\*\.csv") as caught:
            observe(tmp_path / "orders-*.csv")

        assert "orders-1.txt" in caught.value.facts[0]

    def test_a_folder_is_not_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(SourceUnreadable, match="is a folder") as caught:
            observe(tmp_path)

        assert "*.csv" in (caught.value.fix or "")

    def test_observing_a_known_file_imports_nothing_heavy(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        age(path)
        stat = path.stat()
        fields = (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns, "d", time.time_ns())
        code = (
            "import sys; from assetflow.io.sources import FileState, observe_files\n"
            f"state = FileState(*{fields!r}); print(observe_files(state.path, {{state.path: state}}, 1).token)\n"
            "print(sorted({'pandas','pyarrow','numpy','xxhash','duckdb','csv','pydantic'} & set(sys.modules)))"
        )

        root = Path(__file__).parents[3]
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

        assert found.stdout.split("\n")[:2] == ["xxh3:d", "[]"]


class TestReadingWhatWasObserved:
    def spec(self, path: Path | str) -> SourceSpec:
        return SourceSpec(str(path), "csv", None, {}, False, False, True)

    def test_a_file_that_changed_since_is_not_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        found = observe(path)
        write(path, "a\n2\n")

        with pytest.raises(SourceChanged, match="changed since it was observed"):
            read_source(self.spec(path), found, Want("arrow"))

    def test_a_file_that_was_only_touched_is_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        found = observe(path)
        age(path, 5000)

        table: Any = read_source(self.spec(path), found, Want("arrow"))

        assert table.to_pylist() == [{"a": 1}]

    def test_a_file_that_is_gone_has_changed(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a\n1\n")
        found = observe(path)
        path.unlink()

        with pytest.raises(SourceChanged):
            read_source(self.spec(path), found, Want("arrow"))

    def test_a_glob_with_a_new_file_has_changed(self, tmp_path: Path) -> None:
        write(tmp_path / "a.csv", "a\n1\n")
        found = observe(tmp_path / "*.csv")
        write(tmp_path / "b.csv", "a\n1\n")

        with pytest.raises(SourceChanged) as caught:
            read_source(self.spec(tmp_path / "*.csv"), found, Want("arrow"))

        assert "b.csv" in caught.value.facts[0]

    @pytest.mark.parametrize("added", ["3,4\n", "3,4,5\n", '3,"4\n'], ids=["good", "with a broken row", "cut off"])
    def test_a_file_replaced_while_it_is_read_has_changed(self, tmp_path: Path, added: str) -> None:
        path = tmp_path / "a.csv"
        rows = "a,b\n" + "1,2\n" * 50
        write(path, rows)
        found = observe(path)

        class Replacing(dict[str, object]):
            """Options that change the file at the moment the reader asks for them: after the check, before the read."""

            def get(self, key: str, default: object = None, /) -> object:
                write(path, rows + added)
                return super().get(key, default)

        spec = SourceSpec(str(path), "csv", None, Replacing(), False, False, True)

        with pytest.raises(SourceChanged):
            read_source(spec, found, Want("arrow"))


class TestCsv:
    def test_types_do_not_depend_on_the_form(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "id,x,t,n\n1,1.5,2024-01-01T10:00:00Z,NA\n2,,2024-01-02T10:00:00.5Z,b\n")

        table = read(path)

        assert [str(kind) for kind in table.schema.types] == ["int64", "double", "timestamp[us, tz=UTC]", "string"]
        assert table.column("n").to_pylist() == [None, "b"]
        assert isinstance(read(path, "pandas"), pd.DataFrame)
        assert isinstance(read(path, "python"), pd.DataFrame)
        assert read(path, "polars").schema["t"] == pl.Datetime("us", "UTC")
        assert isinstance(read(path, "polars_lazy"), pl.LazyFrame)
        assert isinstance(read(path, "reader"), pa.RecordBatchReader)
        assert read(path, "records")[0]["t"] == dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)

    def test_a_date_column_is_a_date_and_whole_second_times_have_microseconds(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "d,t,z\n2024-01-01,2024-01-01 10:00:00,2024-01-01T10:00:00Z\n")

        assert [str(k) for k in read(path).schema.types] == ["date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]"]

    def test_nanoseconds_are_kept_where_the_file_has_them(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "t\n2024-01-01T10:00:00.123456789\n")

        assert str(read(path).schema.types[0]) == "timestamp[ns]"

    def test_missing_values_are_those_of_pandas_unless_they_are_named(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", 'country,n\nNA,1\n"",None\n-,<NA>\n')

        assert read(path).to_pylist() == [
            {"country": None, "n": 1}, {"country": None, "n": None}, {"country": "-", "n": None},
        ]  # fmt: skip
        assert read(path, nulls=["", "-"]).column("country").to_pylist() == ["NA", None, None]

    @pytest.mark.parametrize(
        "data",
        [
            b"\xef\xbb\xbfid,name\r\n1,x\r\n2,y\r\n",
            b"id,name\n1,x\n\n2,y",
            b'"id","name"\n1,"x"\n2,"y"\n',
            b"\n\nid,name\n1,x\n2,y\n",
        ],
        ids=["byte order mark and CRLF", "blank line and no last newline", "all quoted", "blank lines first"],
    )
    def test_ways_to_write_the_same_table(self, tmp_path: Path, data: bytes) -> None:
        path = write(tmp_path / "a.csv", data)

        assert read(path).to_pylist() == [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]

    def test_a_quoted_value_may_hold_line_ends_delimiters_and_quotes(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", 'id,text\n1,"a,\nb ""c"""\n2,d\n')

        assert read(path).column("text").to_pylist() == ['a,\nb "c"', "d"]

    def test_a_line_end_within_quotes_may_fall_anywhere_in_a_long_file(self, tmp_path: Path) -> None:
        value = "x\n" * 700_000  # longer than the blocks that the reader cuts the file into
        path = write(tmp_path / "a.csv", f'id,text\n1,"{value}"\n2,d\n')

        assert read(path).column("text").to_pylist() == [value, "d"]

    def test_a_single_quote_mark_inside_a_value_is_text(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", 'id,text\n1,5" pipe\n2,d\n')

        assert read(path).column("text").to_pylist() == ['5" pipe', "d"]

    def test_options_say_how_the_file_is_written(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "1;é;007\n2;x;008\n".encode("latin-1"))

        table = read(
            path, delimiter=";", encoding="latin-1", header=False, columns=["id", "t", "code"], types={"code": "string"}
        )

        assert table.to_pylist() == [{"id": 1, "t": "é", "code": "007"}, {"id": 2, "t": "x", "code": "008"}]

    def test_columns_replace_the_header_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "\nx,x\n1,2\n")

        assert read(path, columns=["a", "b"]).to_pylist() == [{"a": 1, "b": 2}]

    def test_a_column_without_a_name_has_the_same_one_in_every_form(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", ",b\n1,2\n")

        assert read(path).to_pylist() == [{"column_1": 1, "b": 2}]
        assert list(read(path, "pandas")) == read(path, "polars").columns == ["column_1", "b"]

    def test_types_can_be_given(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a,b,c,d\n1,2024-01-01,2024-01-01T00:00:00Z,1.50\n")

        table = read(path, types={"a": "float64", "b": "string", "c": "timestamp[s, UTC]", "d": "decimal(10, 2)"})

        assert [str(kind) for kind in table.schema.types] == [
            "double",
            "string",
            "timestamp[s, tz=UTC]",
            "decimal128(10, 2)",
        ]

    def test_tsv_and_compressed_files(self, tmp_path: Path) -> None:
        tsv = write(tmp_path / "a.tsv", "id\tname\n1\tx, y\n")
        packed = write(tmp_path / "a.csv.gz", gzip.compress(b"id,name\n1,x\n"))

        assert read(tsv).to_pylist() == [{"id": 1, "name": "x, y"}]
        assert read(packed).to_pylist() == [{"id": 1, "name": "x"}]

    def test_utf_16_is_read_when_named_and_suggested_when_not(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "id,name\n1,é\n".encode("utf-16"))

        assert read(path, encoding="utf-16").to_pylist() == [{"id": 1, "name": "é"}]
        with pytest.raises(SourceUnreadable) as caught:
            read(path)
        assert 'encoding="utf-16"' in (caught.value.fix or "")

    def test_only_wanted_columns_come_in_the_wanted_order(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a,b,c\n1,2,3\n")

        assert read(path, want=("c", "a")).column_names == ["c", "a"]

    def test_a_missing_column_names_those_there_are(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "amount,b\n1,2\n")

        with pytest.raises(ContractBroken, match="no column `amuont`") as caught:
            read(path, want=("amuont",))

        assert "`amount`, `b`" in caught.value.facts[0]

    def test_a_missing_column_in_a_file_with_another_delimiter_says_so(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "amount;b\n1;2\n")

        with pytest.raises(ContractBroken, match="delimiter=';'"):
            read(path, want=("amount",))

    def test_a_header_without_rows_is_an_empty_table(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "a,b\n")

        table = read(path, types={"a": "int64"})

        assert (table.num_rows, table.column_names, str(table.schema.types[0])) == (0, ["a", "b"], "int64")

    def test_an_empty_file_is_an_error_that_says_what_it_should_hold(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.csv", "")

        with pytest.raises(SourceUnreadable, match="is empty"):
            read(path)
        assert read(path, header=False, columns=["a"]).num_rows == 0


class TestBrokenCsv:
    def broken(self, path: Path, data: str | bytes, **options: Any) -> SourceUnreadable:
        write(path, data)
        with pytest.raises(SourceUnreadable) as caught:
            read(path, **options)
        return caught.value

    def test_a_short_row_is_named_by_its_line_as_an_editor_counts(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", 'a,b,c\n1,"x\ny",3\n\n4,5\n6,7,8\n')

        assert error.what == "`a.csv` line 5: expected 3 values, found 2"
        assert error.facts == ("columns: `a`, `b`, `c`", "line 5: 4,5")
        assert error.where is not None
        assert error.where.line == 5

    def test_a_broken_row_of_several_lines_is_named_by_its_first(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", 'a,b,c\n1,2,3\n4,"x\ny"\n')

        assert error.what == "`a.csv` line 3: expected 3 values, found 2"

    def test_a_long_row_is_found_in_a_long_file(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", "a,b\r\n" + "1,2\r\n" * 200_000 + "1,2,3\r\n" + "1,2\r\n")

        assert error.what == "`a.csv` line 200002: expected 2 values, found 3"
        assert "line 200002: 1,2,3" in error.facts

    def test_a_long_line_is_cut(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", "a,b\n" + "x" * 500 + "\n")

        assert error.facts[1].endswith("x…")
        assert len(error.facts[1]) < 120

    def test_a_quote_that_is_never_closed_is_not_taken_as_one_long_value(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", 'a,b\n0,y\n1,"x\n2,z\n3,w\n')

        assert error.what == "`a.csv` line 3: a quote is opened and never closed"
        assert error.facts == ('line 3: 1,"x',)

    def test_an_unclosed_quote_before_the_last_column_is_named_too(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", 'a,b\n0,y\n"1,x\n2,z\n')

        assert error.what == "`a.csv` line 3: a quote is opened and never closed"

    def test_latin_1_read_as_utf_8_names_line_and_fix(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", "id,name\n1,x\n2,café\n".encode("latin-1"))

        assert error.what == "`a.csv` line 3 is not utf-8: byte 0xe9"
        assert error.facts == ("line 3, read as latin-1: 2,café",)
        assert error.fix == 'source(..., encoding="latin-1")'

    def test_bytes_of_the_windows_code_page_are_recognized(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", "id,price\n1,5 €\n".encode("cp1252"))

        assert error.fix == 'source(..., encoding="cp1252")'

    def test_latin_1_in_the_header_and_in_a_column_of_given_type(self, tmp_path: Path) -> None:
        header = self.broken(tmp_path / "a.csv", "café,b\n1,2\n".encode("latin-1"))
        typed = self.broken(tmp_path / "b.csv", "a,b\n1,é\n".encode("latin-1"), types={"b": "string"})

        assert header.what == "`a.csv` line 1 is not utf-8: byte 0xe9"
        assert typed.what == "`b.csv` line 2 is not utf-8: byte 0xe9"

    def test_a_value_that_is_not_of_the_given_type_is_found(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", "a,b\n1,2\n3,\n5,six\n", types={"b": "int64"})

        assert "line 4: column `b` cannot be read as int64" in error.what
        assert "'six'" in error.what
        assert error.facts == ("line 4: 5,six",)
        assert error.fix == 'correct the value, or read the column as text: types={"b": "string"}'

    def test_a_column_named_twice(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", "a,b,a\n1,2,3\n")

        assert error.what == "`a.csv` has two columns called `a`"

    def test_a_type_for_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        error = self.broken(tmp_path / "a.csv", "amount,b\n1,2\n", types={"amuont": "int64"})

        assert "`amuont`" in error.what
        assert error.fix == "did you mean `amount`?"


class TestGlobs:
    def test_files_are_one_table_in_name_order_with_columns_by_name(self, tmp_path: Path) -> None:
        write(tmp_path / "o-2.csv", "b,a\nx,3\n")
        write(tmp_path / "o-1.csv", "a,b\n1,y\n2,z\n")

        table = read(tmp_path / "o-*.csv")

        assert table.to_pylist() == [{"a": 1, "b": "y"}, {"a": 2, "b": "z"}, {"a": 3, "b": "x"}]

    def test_types_are_those_of_one_long_file(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", "code,x,d,n\n007,1,2024-01-01,\n")
        write(tmp_path / "2.csv", "code,x,d,n\nA1,2.5,2024-01-01 10:00:00,5\n")

        table = read(tmp_path / "*.csv")

        assert [str(kind) for kind in table.schema.types] == ["string", "double", "timestamp[us]", "int64"]
        assert table.column("code").to_pylist() == ["007", "A1"]
        assert table.column("n").to_pylist() == [None, 5]

    def test_other_columns_are_named(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", "a,b\n1,2\n")
        write(tmp_path / "2.csv", "a,c\n1,2\n")

        with pytest.raises(SourceUnreadable, match=r"`2\.csv` has other columns than `1\.csv`") as caught:
            read(tmp_path / "*.csv")

        assert caught.value.facts == ("missing in 2.csv: `b`", "only in 2.csv: `c`")

    def test_a_projection_reads_only_its_columns(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", "a,b\n1,2\n")
        write(tmp_path / "2.csv", "b,a\n3,4\n")

        assert read(tmp_path / "*.csv", want=("b",)).to_pylist() == [{"b": 2}, {"b": 3}]

    def test_parquet_files_widen_numbers_and_refuse_the_rest(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}), tmp_path / "1.parquet")
        pq.write_table(pa.table({"b": ["y"], "a": pa.array([2], pa.int64())}), tmp_path / "2.parquet")

        assert read(tmp_path / "*.parquet").to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]

        pq.write_table(pa.table({"a": ["text"], "b": ["y"]}), tmp_path / "3.parquet")
        with pytest.raises(SourceUnreadable, match=r"`3\.parquet` does not fit") as caught:
            read(tmp_path / "*.parquet")
        assert "`a`: string in 3.parquet" in caught.value.facts[0]

    def test_a_glob_is_not_a_path(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", "a\n1\n")

        with pytest.raises(SourceUnreadable, match="is a glob, and a Path is one file"):
            read(tmp_path / "*.csv", "path")


class TestOtherFormats:
    def test_path_and_bytes_of_any_format(self, tmp_path: Path) -> None:
        path = write(tmp_path / "model.bin", b"\x00\x01")

        assert read(path, "path") == path
        assert read(path, "python") == path
        assert read(path, "bytes") == b"\x00\x01"
        assert read(write(tmp_path / "a.csv", "a\n"), "path") == tmp_path / "a.csv"
        with pytest.raises(SourceUnreadable, match="no format that can be read as a pandas DataFrame"):
            read(path, "pandas")

    @pytest.mark.parametrize("format", ["parquet", "arrow", "stream"])
    def test_binary_tables(self, tmp_path: Path, format: str) -> None:
        table = pa.table({"a": [1, 2], "b": ["x", None], "c": [[1], []]})
        path = tmp_path / "t"
        if format == "parquet":
            pq.write_table(table, path)
        elif format == "arrow":
            pyarrow.feather.write_feather(table, str(path))
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        name = "parquet" if format == "parquet" else "feather"

        assert read(path, format=name).equals(table)
        assert read(path, want=("c", "a"), format=name).equals(table.select(["c", "a"]))
        with pytest.raises(ContractBroken, match="no column `z`"):
            read(path, want=("a", "z"), format=name)

    @pytest.mark.parametrize("ending", ["parquet", "arrow"])
    @pytest.mark.parametrize("data", [b"", b"not a table at all", b"ARROW1PAR1"])
    def test_a_broken_binary_file_is_unreadable(self, tmp_path: Path, ending: str, data: bytes) -> None:
        path = write(tmp_path / f"t.{ending}", data)

        with pytest.raises(SourceUnreadable, match=f"cannot be read as {ending}"):
            read(path)

    def test_json_arrays_and_lines_are_tables(self, tmp_path: Path) -> None:
        rows = [{"a": 1, "t": "2024-01-01T10:00:00Z"}, {"a": 2.5, "x": {"y": [1]}}]
        array = write(tmp_path / "a.json", json.dumps(rows, indent=1))
        lines = write(tmp_path / "a.jsonl", "\r\n".join(map(json.dumps, rows)) + "\n\n")

        tables = [read(array), read(lines)]

        assert tables[0].equals(tables[1])
        assert tables[0].to_pylist() == [
            {"a": 1.0, "t": rows[0]["t"], "x": None},
            {"a": 2.5, "t": None, "x": {"y": [1]}},
        ]
        assert read(lines, types={"t": "timestamp[us, UTC]"}).column("t").to_pylist()[0].hour == 10
        assert read(array, "records") == read(lines, "records") == read(lines, "python") == rows
        assert read(array, "records", ("a",)) == [{"a": 1}, {"a": 2.5}]
        assert read(array, want=("x",)).column_names == ["x"]
        with pytest.raises(ContractBroken):
            read(array, "records", ("b",))

    def test_a_json_document_is_a_value(self, tmp_path: Path) -> None:
        path = write(tmp_path / "rates.json", '{"EUR": 1.1}')

        assert read(path, "python") == {"EUR": 1.1}
        for form in ("pandas", "records"):
            with pytest.raises(SourceUnreadable, match="is not an array of objects"):
                read(path, form)

    def test_empty_json(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.jsonl", "\n"), types={"a": "int64"}).schema == pa.schema([("a", pa.int64())])
        assert read(write(tmp_path / "a.json", "[]")).num_rows == 0
        with pytest.raises(SourceUnreadable, match="is empty"):
            read(write(tmp_path / "b.json", " \n"))

    def test_a_value_longer_than_a_block_is_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", json.dumps({"a": "x" * 3_000_000}) + "\n" + json.dumps({"a": "y"}) + "\n")

        assert [len(value) for value in read(path).column("a").to_pylist()] == [3_000_000, 1]

    def test_broken_json_names_line_and_column(self, tmp_path: Path) -> None:
        cases = {
            "a.json": ('[\n {"a": 1},\n {"a": }\n]', "`a.json` line 3, column 8: expecting value"),
            "b.jsonl": ('{"a": 1}\n{"a": \n', "`b.jsonl` line 2, column 7: expecting value"),
            "c.jsonl": ('{"a": 1}\n{"a": "x"}\n', "`c.jsonl`: `a` is a number in row 1 and text in row 2"),
            "d.jsonl": ('{"a": 1}\n[1]\n', "`d.jsonl`: item 2 is an array, not an object"),
        }
        for name, (text, message) in cases.items():
            with pytest.raises(SourceUnreadable) as caught:
                read(write(tmp_path / name, text))
            assert caught.value.what == message

    def test_json_that_is_not_utf_8_names_the_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n')

        with pytest.raises(SourceUnreadable, match="line 2 is not UTF-8"):
            read(path)

    def test_several_objects_called_json_are_json_lines(self, tmp_path: Path) -> None:
        with pytest.raises(SourceUnreadable, match='format="jsonl"'):
            read(write(tmp_path / "a.json", '{"a": 1}\n{"a": 2}\n'))


class TestOptions:
    @pytest.mark.parametrize(
        ("path", "format"),
        [
            ("a.csv", "csv"),
            ("a.CSV", "csv"),
            ("d/a-*.csv.gz", "csv"),
            ("a.tsv", "tsv"),
            ("a.parquet", "parquet"),
            ("a.json", "json"),
            ("a.ndjson", "jsonl"),
            ("a.jsonl.zst", "jsonl"),
            ("a.feather", "arrow"),
            ("a.bin", "file"),
            ("a.parquet.gz", "file"),
            ("data", "file"),
            ("a.b/data", "file"),
            ("a.tar.gz", "file"),
        ],
    )
    def test_format_follows_from_the_ending(self, path: str, format: str) -> None:
        assert format_of(path) == format

    def test_formats_have_one_name(self) -> None:
        assert (plain_format("ndjson"), plain_format("feather"), plain_format("csv")) == ("jsonl", "arrow", "csv")
        with pytest.raises(BadDeclaration, match="did you mean `parquet`"):
            plain_format("paquet")

    def test_good_options_pass(self) -> None:
        check_options(
            "csv",
            {
                "delimiter": ";",
                "nulls": ["-"],
                "types": {"a": "timestamp[us, UTC]", "b": "decimal(12, 2)", "c": "str"},
                "encoding": "latin-1",
                "header": False,
                "columns": ("a", "b"),
            },
        )

    @pytest.mark.parametrize(
        ("format", "options", "words"),
        [
            ("csv", {"delimeter": ";"}, "did you mean `delimiter`"),
            ("csv", {"sep": ";"}, "options of csv: delimiter, nulls, types, encoding, header, columns"),
            ("parquet", {"delimiter": ";"}, "options of parquet: none"),
            ("csv", {"delimiter": "--"}, "one character"),
            ("csv", {"nulls": "NA"}, "a list of texts"),
            ("csv", {"types": {"a": "varchar"}}, "a mapping from columns to types"),
            ("csv", {"types": ["a"]}, "a mapping from columns to types"),
            ("csv", {"types": {"a": "decimal(40, 2)"}}, "a mapping from columns to types"),
            ("csv", {"encoding": "latin-99"}, "the name of an encoding"),
            ("csv", {"header": 0}, "True or False"),
            ("csv", {"header": False}, r"columns=\["),
            ("csv", {"columns": []}, "a list of texts"),
            ("excel", {}, "formats: csv, tsv"),
        ],
    )
    def test_bad_options_are_found_at_load(self, format: str, options: dict[str, object], words: str) -> None:
        with pytest.raises(BadDeclaration, match=words):
            check_options(format, options)


@needs_shared_data
class TestRealData:
    def test_weather_has_exact_types_and_missing_values(self) -> None:
        table = read(SHARED / "nyc_weather/weather.csv")

        assert table.num_rows == 26_115
        assert str(table.schema.field("time_hour").type) == "timestamp[us, tz=UTC]"
        assert str(table.schema.field("wind_gust").type) == "double"
        assert table.column("wind_gust").null_count > 10_000
        assert str(table.schema.field("wind_dir").type) == "int64"

    def test_forms_agree_on_real_files(self) -> None:
        path = SHARED / "nyc_weather/airports.csv"
        rows = read(path, "records")

        assert rows == read(path, "polars").to_dicts() == read(path, "arrow").to_pylist()
        assert len(read(path, "pandas")) == len(rows)

    def test_orders_of_the_shop_have_dates(self) -> None:
        frame = read(SHARED / "jaffle_shop/raw_orders.csv", "polars")

        assert frame.schema["order_date"] == pl.Date
        assert frame.height == 99
