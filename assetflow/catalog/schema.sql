-- The catalog, version 11. Times are UTC seconds; JSON is text; nothing is updated but heads, runs, attempts, schedules,
-- ticks, sensors, requests, alerts and the state of versions. A change here needs a file in migrations/; a test holds
-- the two against each other.

-- What runs left noted for those that look later. It is derived, and in no journal.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Counts commits; every head says at which count it moved. No clock takes part in a decision.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE asset (
    asset_id   INTEGER PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    first_seen REAL NOT NULL
);

-- Partition 0 is the partition of every asset that has none.
CREATE TABLE part (
    part_id  INTEGER PRIMARY KEY,
    asset_id INTEGER REFERENCES asset,
    key      TEXT NOT NULL,
    ord      INTEGER,
    UNIQUE (asset_id, key)
);

CREATE TABLE env (
    env_id    INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    base_env  INTEGER REFERENCES env,
    base_seq  INTEGER,
    protected INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE run (
    run_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    env_id      INTEGER NOT NULL REFERENCES env,
    state       TEXT NOT NULL,
    cause       TEXT NOT NULL DEFAULT '',
    selection   TEXT NOT NULL,
    started_at  REAL NOT NULL,
    finished_at REAL,
    user        TEXT NOT NULL,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    counts      TEXT NOT NULL DEFAULT '{}'
);

-- A definition: the code fingerprint with the digest of each of its parts, the config values, the versions of packages,
-- the digests of declared files, the keyed digests of declared environment variables, what is to be said of the code, the
-- scheme of the fingerprint, and the code version that people declared in its place.
CREATE TABLE fp (
    fp_id  INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    code   TEXT NOT NULL,
    parts  TEXT NOT NULL,
    config TEXT NOT NULL,
    packages TEXT NOT NULL DEFAULT '{}',
    files    TEXT NOT NULL DEFAULT '{}',
    env      TEXT NOT NULL DEFAULT '{}',
    notes    TEXT NOT NULL DEFAULT '[]',
    scheme   TEXT NOT NULL DEFAULT '',
    declared TEXT
);

-- A piece of code that some definition is made of, under its local digest: its text and what the names in it
-- mean, as a JSON list compressed by zlib.
CREATE TABLE node (
    digest TEXT PRIMARY KEY,
    kind   TEXT NOT NULL,
    file   TEXT NOT NULL,
    line   INTEGER NOT NULL,
    source BLOB NOT NULL
) WITHOUT ROWID;

-- The schemas of tables, as text: most versions of an asset have the one of the version before.
CREATE TABLE shape (shape_id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);

CREATE TABLE version (
    version_id INTEGER PRIMARY KEY,
    asset_id   INTEGER NOT NULL REFERENCES asset,
    part_id    INTEGER NOT NULL REFERENCES part,
    number     INTEGER NOT NULL,
    data_hash  TEXT NOT NULL,
    io         TEXT NOT NULL,
    location   TEXT NOT NULL,
    row_count  INTEGER,
    size_bytes INTEGER,
    columns    TEXT NOT NULL,            -- [[name, type, digest], ...] in column order
    details    TEXT NOT NULL,
    created_at REAL NOT NULL,
    state      TEXT NOT NULL DEFAULT 'live',   -- live, lost, damaged, rejected (by a check), condemned (by gc), evicted
    state_at   REAL,
    shape_id   INTEGER REFERENCES shape,                -- the schema, which is then not in the details
    UNIQUE (asset_id, part_id, number)
);
CREATE INDEX version_by_hash ON version (asset_id, part_id, data_hash);
CREATE INDEX version_gone ON version (state) WHERE state <> 'live';

CREATE TABLE trace (
    trace_id    INTEGER PRIMARY KEY,
    asset_id    INTEGER NOT NULL REFERENCES asset,
    part_id     INTEGER NOT NULL REFERENCES part,
    input_key   TEXT NOT NULL,
    fp_id       INTEGER NOT NULL REFERENCES fp,
    version_id  INTEGER NOT NULL REFERENCES version,
    run_id      INTEGER REFERENCES run,
    kind        TEXT NOT NULL,
    started_at  REAL NOT NULL,
    finished_at REAL NOT NULL,
    as_of       REAL,
    metadata    TEXT NOT NULL DEFAULT '{}',
    discovered  TEXT NOT NULL DEFAULT '{}'   -- {"files": {path: digest}, "code": {path: digest}}: seen while it ran
);
CREATE INDEX trace_by_key ON trace (asset_id, part_id, input_key);
CREATE INDEX trace_by_asset ON trace (asset_id);

CREATE VIEW stored_version AS
SELECT version_id, asset_id, part_id, number, data_hash, io, location, row_count, size_bytes, columns,
       CASE WHEN shape_id IS NULL THEN details ELSE json_insert(details, '$.schema', (
           SELECT text FROM shape WHERE shape.shape_id = version.shape_id
       )) END AS details, created_at, state, state_at
FROM version;

-- lo and hi bound a range of upstream partitions by their numbers (both 0 without partitions); n counts them. A range of
-- more than one has no digest: every partition was read in the version of that number.
CREATE TABLE trace_in (
    trace_id    INTEGER NOT NULL REFERENCES trace,
    parameter   TEXT NOT NULL,
    up_asset_id INTEGER NOT NULL REFERENCES asset,
    lo          INTEGER NOT NULL DEFAULT 0,
    hi          INTEGER NOT NULL DEFAULT 0,
    n           INTEGER NOT NULL DEFAULT 1,
    mode        TEXT NOT NULL,
    digest      TEXT NOT NULL,
    number      INTEGER,
    PRIMARY KEY (trace_id, parameter, up_asset_id, lo)
) WITHOUT ROWID;

-- The only mutable thing: which trace is current in an environment.
CREATE TABLE head (
    env_id      INTEGER NOT NULL REFERENCES env,
    asset_id    INTEGER NOT NULL REFERENCES asset,
    part_id     INTEGER NOT NULL REFERENCES part,
    trace_id    INTEGER NOT NULL REFERENCES trace,
    seq         INTEGER NOT NULL,
    changed_seq INTEGER NOT NULL,
    verified_at REAL NOT NULL,
    PRIMARY KEY (env_id, asset_id, part_id)
) WITHOUT ROWID;
CREATE INDEX head_by_seq ON head (env_id, seq);

-- Every move of a head, for history, time travel and rollback.
CREATE TABLE head_log (
    env_id   INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    part_id  INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    trace_id INTEGER NOT NULL REFERENCES trace,
    run_id   INTEGER,
    moved_at REAL NOT NULL,
    cause    TEXT NOT NULL DEFAULT '',     -- what moved it other than a run: rollback to 3
    PRIMARY KEY (env_id, asset_id, part_id, seq)
) WITHOUT ROWID;

-- Heads that runs leave alone, until somebody unpins them.
CREATE TABLE pin (
    env_id    INTEGER NOT NULL REFERENCES env,
    asset_id  INTEGER NOT NULL REFERENCES asset,
    part_id   INTEGER NOT NULL REFERENCES part,
    cause     TEXT NOT NULL,
    user      TEXT NOT NULL,
    pinned_at REAL NOT NULL,
    PRIMARY KEY (env_id, asset_id, part_id)
) WITHOUT ROWID;

-- Where somebody said that what there is does not count: traces up to this one satisfy nothing in the environment.
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

-- Traces that somebody took back: what was accepted, and what was linked because of it.
CREATE TABLE revoked (
    trace_id   INTEGER PRIMARY KEY REFERENCES trace,
    user       TEXT NOT NULL,
    revoked_at REAL NOT NULL
);

-- Input keys with which one definition gave different contents.
CREATE TABLE unsteady (
    asset_id   INTEGER NOT NULL REFERENCES asset,
    part_id    INTEGER NOT NULL REFERENCES part,
    input_key  TEXT NOT NULL,
    noticed_at REAL NOT NULL,
    PRIMARY KEY (asset_id, part_id, input_key)
) WITHOUT ROWID;

CREATE TABLE attempt (
    run_id      INTEGER NOT NULL REFERENCES run,
    asset_id    INTEGER NOT NULL REFERENCES asset,
    part_id     INTEGER NOT NULL REFERENCES part,
    number      INTEGER NOT NULL,
    state       TEXT NOT NULL,
    started_at  REAL,
    finished_at REAL,
    version     INTEGER,
    facts       TEXT NOT NULL,           -- reasons, error, checks, seconds, blocked_by, wait, peak_memory, spans
    PRIMARY KEY (run_id, asset_id, part_id, number)
) WITHOUT ROWID;

CREATE INDEX attempt_in_vain ON attempt (state)
WHERE state NOT IN ('materialized', 'unchanged', 'linked', 'cut_off');

-- The newest attempt of each asset partition, kept so that status needs no search through all attempts.
CREATE TABLE last_attempt (
    env_id   INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    part_id  INTEGER NOT NULL,
    run_id   INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    PRIMARY KEY (env_id, asset_id, part_id)
) WITHOUT ROWID;

-- What source files looked like when their content was hashed.
CREATE TABLE file_state (
    path        TEXT PRIMARY KEY,
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    ctime_ns    INTEGER NOT NULL,
    digest      TEXT NOT NULL,
    recorded_ns INTEGER NOT NULL
) WITHOUT ROWID;

-- When the schedule of a job was first seen as it is, the instant up to which its ticks are accounted for (it never
-- goes back by itself), and who paused it.
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

-- What became of every instant at which a job was due. Missed ticks in a row are one row: from scheduled to last.
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

-- Keys of partitions that are added while a project is used; one that was removed keeps its place.
CREATE TABLE dynamic_key (
    name       TEXT NOT NULL,
    ord        INTEGER NOT NULL,
    key        TEXT NOT NULL,
    added_at   REAL NOT NULL,
    removed_at REAL,
    PRIMARY KEY (name, ord),
    UNIQUE (name, key)
) WITHOUT ROWID;

-- What somebody asked to be made of partitions in several runs, and how far that is. Its runs have it as their cause.
CREATE TABLE backfill (
    backfill_id INTEGER PRIMARY KEY,
    env         TEXT NOT NULL,
    state       TEXT NOT NULL,           -- running, done, failed, stopped, paused, interrupted
    selection   TEXT NOT NULL,
    partitions  TEXT NOT NULL,           -- as it was asked for
    work        TEXT NOT NULL,           -- which partitions of which assets that was, the order, the size of a chunk
    planned     INTEGER NOT NULL,
    done        INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    started_at  REAL NOT NULL,
    ended_at    REAL,
    user        TEXT NOT NULL,
    host        TEXT NOT NULL
);

-- What is wrong from when it was first seen until it is over; `key` is one root cause, of which one alert is open.
-- `assets` are all that it concerns, `slots` the asset partitions that have to be well again (JSON lists).
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
    how       TEXT NOT NULL DEFAULT ''        -- recovered, other cause, gone
) WITHOUT ROWID;
CREATE UNIQUE INDEX alert_open ON alert (key) WHERE closed_at IS NULL;

-- What has to be told to the channels, written with what it tells of; and what became of that.
CREATE TABLE outbox (
    message_id TEXT PRIMARY KEY,
    alert_id   TEXT NOT NULL REFERENCES alert,
    channel    TEXT NOT NULL,
    kind       TEXT NOT NULL,            -- opened, reminder, recovered
    document   TEXT NOT NULL,
    created_at REAL NOT NULL,
    due_at     REAL NOT NULL,
    state      TEXT NOT NULL,            -- waiting, sent, replaced, dropped
    tries      INTEGER NOT NULL DEFAULT 0,
    error      TEXT NOT NULL DEFAULT '',
    sent_at    REAL
) WITHOUT ROWID;
CREATE INDEX outbox_waiting ON outbox (channel, due_at) WHERE state = 'waiting';
CREATE INDEX outbox_of_alert ON outbox (alert_id);

-- How far each sensor got, how often it looked, and who paused it. The same for jobs with on_update and for auto=.
CREATE TABLE sensor (
    name      TEXT PRIMARY KEY,
    cursor    TEXT,
    looks     INTEGER NOT NULL DEFAULT 0,
    looked_at REAL,
    paused_at REAL,
    paused_by TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

-- What came of each look of a sensor. Looks in a row that found nothing are one row: from at to last_at.
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

-- The runs that were asked for by a look, in order, and what became of each. A key is used once by a sensor.
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

INSERT INTO part (part_id, asset_id, key, ord) VALUES (0, NULL, '', 0);
INSERT INTO counter (name, value) VALUES ('seq', 0), ('journal', 0);
