-- Version 8: what is wrong since when, and what has to be told to whom.
CREATE TABLE alert (
    alert_id  TEXT PRIMARY KEY,
    key       TEXT NOT NULL,
    event     TEXT NOT NULL,
    env       TEXT NOT NULL,
    subject   TEXT NOT NULL,
    title     TEXT NOT NULL,
    opened_at REAL NOT NULL,
    seen_at   REAL NOT NULL,
    seen      INTEGER NOT NULL,
    run_id    INTEGER,
    facts     TEXT NOT NULL,
    assets    TEXT NOT NULL,
    slots     TEXT NOT NULL,
    closed_at REAL,
    how       TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE UNIQUE INDEX alert_open ON alert (key) WHERE closed_at IS NULL;
CREATE TABLE outbox (
    message_id TEXT PRIMARY KEY,
    alert_id   TEXT NOT NULL REFERENCES alert,
    channel    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    document   TEXT NOT NULL,
    created_at REAL NOT NULL,
    due_at     REAL NOT NULL,
    state      TEXT NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    error      TEXT NOT NULL DEFAULT '',
    sent_at    REAL
) WITHOUT ROWID;
CREATE INDEX outbox_waiting ON outbox (channel, due_at) WHERE state = 'waiting';
CREATE INDEX outbox_of_alert ON outbox (alert_id);
