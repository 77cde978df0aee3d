"""Whether a text is SQL that DuckDB can read, without running it."""

from __future__ import annotations


def sql_problem(text: str) -> str | None:
    """What DuckDB's parser says against the text, in one line; None when it can read it."""
    import duckdb

    try:
        duckdb.extract_statements(text)
    except duckdb.Error as error:
        message = str(error).strip().partition("\n")[0]
        return message.removeprefix("Parser Error: ") or "it cannot be read"
    return None
