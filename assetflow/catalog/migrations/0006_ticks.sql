-- Version 6: when jobs are due, and what became of each time that they were.
CREATE TABLE schedule (
    job       TEXT PRIMARY KEY,
    cron      TEXT NOT NULL,
    tz        TEXT NOT NULL,
    since     REAL NOT NULL,
    mark      INTEGER NOT NULL,
    is_off    INTEGER NOT NULL DEFAULT 0,
    paused_at REAL,
    paused_by TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE tick (
    job        TEXT NOT NULL,
    scheduled  INTEGER NOT NULL,
    state      TEXT NOT NULL,
    policy     TEXT NOT NULL,
    last       INTEGER NOT NULL,
    count      INTEGER NOT NULL DEFAULT 1,
    note       TEXT NOT NULL DEFAULT '',
    run_id     INTEGER,
    tries      INTEGER NOT NULL DEFAULT 0,
    claimed_at REAL,
    ended_at   REAL,
    PRIMARY KEY (job, scheduled)
) WITHOUT ROWID;
CREATE INDEX tick_claimed ON tick (job) WHERE state = 'claimed';
