-- Version 2: pins, why a head moved, and since when a version is in its state.
CREATE TABLE pin (
    env_id    INTEGER NOT NULL REFERENCES env,
    asset_id  INTEGER NOT NULL REFERENCES asset,
    part_id   INTEGER NOT NULL REFERENCES part,
    cause     TEXT NOT NULL,
    user      TEXT NOT NULL,
    pinned_at REAL NOT NULL,
    PRIMARY KEY (env_id, asset_id, part_id)
) WITHOUT ROWID;
ALTER TABLE head_log ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE version ADD COLUMN state_at REAL;
INSERT INTO counter (name, value) VALUES ('journal', 0);
