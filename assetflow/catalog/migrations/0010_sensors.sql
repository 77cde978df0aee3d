-- Version 10: what is looked at by itself, and the runs that were asked for because of that.
CREATE TABLE sensor (
    name      TEXT PRIMARY KEY,
    cursor    TEXT,
    looks     INTEGER NOT NULL DEFAULT 0,
    looked_at REAL,
    paused_at REAL,
    paused_by TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE look (
    sensor    TEXT NOT NULL,
    number    INTEGER NOT NULL,
    state     TEXT NOT NULL,
    at        REAL NOT NULL,
    last_at   REAL NOT NULL,
    count     INTEGER NOT NULL DEFAULT 1,
    requests  INTEGER NOT NULL DEFAULT 0,
    repeated  INTEGER NOT NULL DEFAULT 0,
    note      TEXT NOT NULL DEFAULT '',
    traceback TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (sensor, number)
) WITHOUT ROWID;
CREATE TABLE request (
    request_id INTEGER PRIMARY KEY,
    sensor     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    key        TEXT,
    env        TEXT NOT NULL,
    asked      TEXT NOT NULL,
    asked_at   REAL NOT NULL,
    state      TEXT NOT NULL DEFAULT 'queued',
    note       TEXT NOT NULL DEFAULT '',
    run_id     INTEGER,
    tries      INTEGER NOT NULL DEFAULT 0,
    claimed_at REAL,
    ended_at   REAL
);
CREATE UNIQUE INDEX request_key ON request (sensor, key) WHERE key IS NOT NULL;
CREATE INDEX request_of ON request (sensor);
CREATE INDEX request_open ON request (sensor) WHERE state IN ('queued', 'claimed');
