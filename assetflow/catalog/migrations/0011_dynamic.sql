-- Version 11: keys of partitions that are added while a project is used.
CREATE TABLE dynamic_key (
    name       TEXT NOT NULL,
    ord        INTEGER NOT NULL,
    key        TEXT NOT NULL,
    added_at   REAL NOT NULL,
    removed_at REAL,
    PRIMARY KEY (name, ord),
    UNIQUE (name, key)
) WITHOUT ROWID;
