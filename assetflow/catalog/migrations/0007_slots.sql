-- Version 7: schemas are kept once; what moved since a commit, and what has no bytes, is found without a look at every
-- partition.
CREATE TABLE shape (shape_id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
ALTER TABLE version ADD COLUMN shape_id INTEGER REFERENCES shape;
CREATE VIEW stored_version AS
SELECT version_id, asset_id, part_id, number, data_hash, io, location, row_count, size_bytes, columns,
       CASE WHEN shape_id IS NULL THEN details ELSE json_insert(details, '$.schema', (
           SELECT text FROM shape WHERE shape.shape_id = version.shape_id
       )) END AS details, created_at, state, state_at
FROM version;
CREATE INDEX version_gone ON version (state) WHERE state <> 'live';
CREATE INDEX head_by_seq ON head (env_id, seq);
CREATE INDEX trace_by_asset ON trace (asset_id);
