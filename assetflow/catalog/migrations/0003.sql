-- Version 3: all that a definition is made of, the code itself, and what people said of traces.
ALTER TABLE fp ADD COLUMN packages TEXT NOT NULL DEFAULT '{}';
ALTER TABLE fp ADD COLUMN files TEXT NOT NULL DEFAULT '{}';
ALTER TABLE fp ADD COLUMN env TEXT NOT NULL DEFAULT '{}';
ALTER TABLE fp ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE fp ADD COLUMN scheme TEXT NOT NULL DEFAULT '';
ALTER TABLE fp ADD COLUMN declared TEXT;
CREATE TABLE node (
    digest TEXT PRIMARY KEY,
    kind   TEXT NOT NULL,
    file   TEXT NOT NULL,
    line   INTEGER NOT NULL,
    source BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE invalidation (
    env_id   INTEGER NOT NULL REFERENCES env,
    asset_id INTEGER NOT NULL REFERENCES asset,
    part_id  INTEGER NOT NULL REFERENCES part,
    trace_id INTEGER NOT NULL,
    cause    TEXT NOT NULL,
    user     TEXT NOT NULL,
    at       REAL NOT NULL,
    PRIMARY KEY (env_id, asset_id, part_id)
) WITHOUT ROWID;
CREATE TABLE revoked (
    trace_id   INTEGER PRIMARY KEY REFERENCES trace,
    user       TEXT NOT NULL,
    revoked_at REAL NOT NULL
);
CREATE TABLE unsteady (
    asset_id   INTEGER NOT NULL REFERENCES asset,
    part_id    INTEGER NOT NULL REFERENCES part,
    input_key  TEXT NOT NULL,
    noticed_at REAL NOT NULL,
    PRIMARY KEY (asset_id, part_id, input_key)
) WITHOUT ROWID;
