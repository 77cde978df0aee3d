-- Version 9: backfills, which are several runs.
CREATE TABLE backfill (
    backfill_id INTEGER PRIMARY KEY,
    env         TEXT NOT NULL,
    state       TEXT NOT NULL,
    selection   TEXT NOT NULL,
    partitions  TEXT NOT NULL,
    work        TEXT NOT NULL,
    planned     INTEGER NOT NULL,
    done        INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    started_at  REAL NOT NULL,
    ended_at    REAL,
    user        TEXT NOT NULL,
    host        TEXT NOT NULL
);
