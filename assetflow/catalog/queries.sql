-- Named queries. A line `-- name: text` starts a query: its name, and what it answers. Parameters are positional.

-- asset_id: the number of an asset
SELECT asset_id FROM asset WHERE key = ?

-- add_asset: give an asset a number
INSERT INTO asset (key, first_seen) VALUES (?, ?) RETURNING asset_id

-- env_id: the number of an environment
SELECT env_id FROM env WHERE name = ?

-- add_env: give an environment a number
INSERT INTO env (name) VALUES (?) RETURNING env_id

-- heads: all that is current in an environment, with its trace, definition and version
SELECT a.key, p.key, h.trace_id, h.seq, h.changed_seq, h.verified_at,
       t.input_key, t.version_id, t.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM head h
JOIN env e USING (env_id)
JOIN asset a ON a.asset_id = h.asset_id
JOIN part p ON p.part_id = h.part_id
JOIN trace t ON t.trace_id = h.trace_id
JOIN fp f ON f.fp_id = t.fp_id
JOIN version v ON v.version_id = t.version_id
WHERE e.name = ?

-- heads_in: what is current in an environment (?1) of assets without partitions, and of these partitions (?2)
SELECT a.key, p.key, h.trace_id, h.seq, h.changed_seq, h.verified_at,
       t.input_key, t.version_id, t.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM (
    SELECT w.* FROM env e CROSS JOIN asset o CROSS JOIN head w ON w.env_id = e.env_id AND w.asset_id = o.asset_id AND w.part_id = 0
    WHERE e.name = ?1
    UNION ALL
    SELECT w.* FROM env e CROSS JOIN json_each(?2) one
    CROSS JOIN asset o ON o.key = one.value ->> 0 CROSS JOIN part q ON q.asset_id = o.asset_id AND q.key = one.value ->> 1
    CROSS JOIN head w ON w.env_id = e.env_id AND w.asset_id = o.asset_id AND w.part_id = q.part_id
    WHERE e.name = ?1
) h
CROSS JOIN asset a ON a.asset_id = h.asset_id
CROSS JOIN part p ON p.part_id = h.part_id
CROSS JOIN trace t ON t.trace_id = h.trace_id
CROSS JOIN fp f ON f.fp_id = t.fp_id
CROSS JOIN version v ON v.version_id = t.version_id

-- slots_with_key: those of these asset partitions (a JSON list of triples: two keys and an input key) that have such a trace
SELECT DISTINCT wanted.value ->> 0, wanted.value ->> 1
FROM json_each(?) wanted
CROSS JOIN asset a ON a.key = wanted.value ->> 0
CROSS JOIN part p ON p.part_id = CASE wanted.value ->> 1 WHEN '' THEN 0 ELSE (
    SELECT part_id FROM part WHERE asset_id = a.asset_id AND key = wanted.value ->> 1
) END
CROSS JOIN trace t ON t.asset_id = a.asset_id AND t.part_id = p.part_id AND t.input_key = wanted.value ->> 2

-- traces_in: the traces of these asset partitions (a JSON list of pairs of keys) that have a live version, newest first
SELECT a.key, p.key, t.trace_id, 0, 0, t.finished_at,
       t.input_key, t.version_id, t.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM json_each(?) wanted
CROSS JOIN asset a ON a.key = wanted.value ->> 0
CROSS JOIN part p ON p.part_id = CASE wanted.value ->> 1 WHEN '' THEN 0 ELSE (
    SELECT part_id FROM part WHERE asset_id = a.asset_id AND key = wanted.value ->> 1
) END
CROSS JOIN trace t ON t.asset_id = a.asset_id AND t.part_id = p.part_id
CROSS JOIN fp f ON f.fp_id = t.fp_id
CROSS JOIN version v ON v.version_id = t.version_id AND v.state = 'live'
WHERE t.trace_id NOT IN (SELECT trace_id FROM revoked)
ORDER BY t.trace_id DESC
LIMIT ?

-- made_in: of each definition with which something of an asset is current in an environment, with partitions or without:
-- the newest trace, and how many partitions there are
SELECT max(h.trace_id), count(*)
FROM env e CROSS JOIN head h ON h.env_id = e.env_id CROSS JOIN trace t ON t.trace_id = h.trace_id
WHERE e.name = ?
GROUP BY h.asset_id, h.part_id > 0, t.fp_id

-- made_by_run: the same of what a run recorded
SELECT max(trace_id), count(DISTINCT part_id) FROM trace WHERE run_id = ? GROUP BY asset_id, part_id > 0, fp_id

-- traces_by_number: these traces (a JSON list of numbers), newest first
SELECT a.key, p.key, t.trace_id, 0, 0, t.finished_at,
       t.input_key, t.version_id, t.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM json_each(?) wanted
CROSS JOIN trace t ON t.trace_id = wanted.value
CROSS JOIN asset a ON a.asset_id = t.asset_id
CROSS JOIN part p ON p.part_id = t.part_id
CROSS JOIN fp f ON f.fp_id = t.fp_id
CROSS JOIN version v ON v.version_id = t.version_id
ORDER BY t.trace_id DESC

-- inputs_of: what these traces (a JSON list of numbers) read; a row of a range stands for each of its partitions
SELECT i.trace_id, i.parameter, u.key, p.key, i.mode, coalesce(v.data_hash, i.digest), i.number
FROM json_each(?) wanted
CROSS JOIN trace_in i ON i.trace_id = wanted.value
CROSS JOIN asset u ON u.asset_id = i.up_asset_id
CROSS JOIN part p ON p.part_id BETWEEN i.lo AND i.hi AND (i.n = 1 OR p.asset_id = i.up_asset_id)
LEFT JOIN version v ON i.n > 1 AND v.asset_id = i.up_asset_id AND v.part_id = p.part_id AND v.number = i.number
ORDER BY i.trace_id, i.parameter, i.up_asset_id, p.part_id

-- history: every move of the head of an asset in an environment, newest first; of these partitions (?4, a JSON list; null for all)
SELECT a.key, p.key, t.trace_id, l.seq, l.seq, l.moved_at,
       t.input_key, t.version_id, l.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state, l.cause
FROM head_log l
JOIN env e USING (env_id)
JOIN asset a ON a.asset_id = l.asset_id
JOIN part p ON p.part_id = l.part_id
JOIN trace t ON t.trace_id = l.trace_id
JOIN fp f ON f.fp_id = t.fp_id
JOIN version v ON v.version_id = t.version_id
WHERE e.name = ?1 AND a.key = ?2 AND (?4 = 'null' OR p.key IN (SELECT value FROM json_each(?4)))
ORDER BY l.seq DESC
LIMIT ?3

-- version: one version of an asset by its number
SELECT v.version_id, a.key, p.key, v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns,
       v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM version v
JOIN asset a USING (asset_id)
JOIN part p ON p.part_id = v.part_id
WHERE a.key = ? AND p.key = ? AND v.number = ?

-- live_versions: the versions of these assets (a JSON list of keys) whose bytes are there, oldest first
SELECT v.version_id, a.key, p.key, v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns,
       v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM json_each(?) wanted
JOIN asset a ON a.key = wanted.value
JOIN version v ON v.asset_id = a.asset_id AND v.state = 'live'
JOIN part p ON p.part_id = v.part_id
ORDER BY v.version_id

-- shown_versions: what is current in an environment (?1) of these assets (?2, a JSON list of keys), and of all that are
-- tables in DuckDB (if ?3)
SELECT v.version_id, a.key, p.key, v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns,
       v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM env e
JOIN head h ON h.env_id = e.env_id
JOIN asset a ON a.asset_id = h.asset_id
JOIN part p ON p.part_id = h.part_id
JOIN trace t ON t.trace_id = h.trace_id
JOIN version v ON v.version_id = t.version_id
WHERE e.name = ?1 AND (a.key IN (SELECT value FROM json_each(?2)) OR (?3 AND v.io = 'duckdb'))

-- rejected_versions: the versions of these assets (a JSON list of keys) that a check rejected, oldest first
SELECT v.version_id, a.key, p.key, v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns,
       v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM json_each(?) wanted
JOIN asset a ON a.key = wanted.value
JOIN version v ON v.asset_id = a.asset_id AND v.state = 'rejected'
JOIN part p ON p.part_id = v.part_id
ORDER BY v.version_id

-- reject_version: a blocking check refused a version, so it never becomes current
UPDATE version SET state = 'rejected', state_at = ? WHERE version_id = ?

-- same_content: the head's own version (the last parameter), when it is live and has this content
SELECT version_id, number FROM version
WHERE asset_id = ? AND part_id = ? AND data_hash = ? AND state = 'live' AND io = ? AND version_id = ?

-- add_version: a new version gets the next number of its asset partition
INSERT INTO version (asset_id, part_id, number, data_hash, io, location, row_count, size_bytes, columns, details, created_at,
                     shape_id)
SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, (SELECT shape_id FROM shape WHERE text = ?11)
FROM version WHERE asset_id = ?1 AND part_id = ?2
RETURNING version_id, number

-- mark_lost: the bytes of a version are gone
UPDATE version SET state = 'lost' WHERE version_id = ?

-- version_number: the number and content of a version
SELECT number, data_hash FROM version WHERE version_id = ?

-- add_fp: make sure that a definition is recorded
INSERT INTO fp (digest, code, parts, config, packages, files, env, notes, scheme, declared)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING

-- fp_id: the number of a definition
SELECT fp_id FROM fp WHERE digest = ?

-- known_nodes: which of these digests (a JSON list) have their code recorded
SELECT n.digest FROM json_each(?) wanted JOIN node n ON n.digest = wanted.value

-- add_node: a piece of code
INSERT INTO node (digest, kind, file, line, source) VALUES (?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING

-- nodes: the code of these digests (a JSON list)
SELECT n.digest, n.kind, n.file, n.line, n.source FROM json_each(?) wanted JOIN node n ON n.digest = wanted.value

-- note_unsteady: a trace (?1) of a definition that gave another content of the same inputs before
INSERT INTO unsteady (asset_id, part_id, input_key, noticed_at)
SELECT t.asset_id, t.part_id, t.input_key, ?2 FROM trace t JOIN version v USING (version_id)
WHERE t.trace_id = ?1 AND EXISTS (
    SELECT 1 FROM trace o JOIN version w USING (version_id)
    WHERE o.asset_id = t.asset_id AND o.part_id = t.part_id AND o.input_key = t.input_key AND o.kind = 'run'
      AND o.fp_id = t.fp_id AND o.discovered = t.discovered AND w.data_hash <> v.data_hash
)
ON CONFLICT (asset_id, part_id, input_key) DO NOTHING

-- unsteady: the input keys with which an asset gave different contents
SELECT a.key, p.key, u.input_key FROM unsteady u
JOIN asset a ON a.asset_id = u.asset_id
JOIN part p ON p.part_id = u.part_id

-- invalidations: since which trace something counts, where somebody said that what was there does not
SELECT a.key, p.key, i.trace_id, i.cause, i.user, i.at FROM invalidation i
JOIN env e USING (env_id)
JOIN asset a ON a.asset_id = i.asset_id
JOIN part p ON p.part_id = i.part_id
WHERE e.name = ?

-- revoked_traces: the traces that somebody took back
SELECT a.key, p.key, r.trace_id FROM revoked r CROSS JOIN trace t ON t.trace_id = r.trace_id
CROSS JOIN asset a ON a.asset_id = t.asset_id
CROSS JOIN part p ON p.part_id = t.part_id

-- durations: how long the last (at most ?2) computations of these assets (a JSON list of keys) took
SELECT a.key, t.finished_at - t.started_at
FROM json_each(?1) wanted CROSS JOIN asset a ON a.key = wanted.value CROSS JOIN trace t ON t.trace_id IN (
    SELECT trace_id FROM trace INDEXED BY trace_by_asset
    WHERE asset_id = a.asset_id AND kind = 'run' ORDER BY trace_id DESC LIMIT ?2
)

-- put_invalidation: let no trace that there is satisfy an asset partition of an environment
INSERT INTO invalidation (env_id, asset_id, part_id, trace_id, cause, user, at)
SELECT ?1, ?2, ?3, coalesce(max(trace_id), 0), ?4, ?5, ?6 FROM trace WHERE true
ON CONFLICT (env_id, asset_id, part_id) DO UPDATE SET trace_id = excluded.trace_id, cause = excluded.cause,
    user = excluded.user, at = excluded.at

-- revoke_claims: take back an accepted trace, and those that say the same without having computed it
INSERT INTO revoked (trace_id, user, revoked_at)
SELECT t.trace_id, ?2, ?3 FROM trace a JOIN trace t ON t.asset_id = a.asset_id AND t.part_id = a.part_id
 AND t.input_key = a.input_key AND t.discovered = a.discovered AND t.version_id = a.version_id AND t.kind <> 'run'
WHERE a.trace_id = ?1
ON CONFLICT (trace_id) DO NOTHING

-- add_trace: one trace
INSERT INTO trace (asset_id, part_id, input_key, fp_id, version_id, run_id, kind, started_at, finished_at, as_of,
                   metadata, discovered)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
RETURNING trace_id

-- add_trace_input: one thing that a trace read
INSERT INTO trace_in (trace_id, parameter, up_asset_id, lo, hi, mode, digest, number) VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7)

-- add_trace_range: many partitions of one thing that a trace read, each with the content of its version of this number
INSERT INTO trace_in (trace_id, parameter, up_asset_id, lo, hi, n, mode, digest, number) VALUES (?, ?, ?, ?, ?, ?, ?, '', ?)

-- range_of: the partitions of an asset (?1) from one number (?2) to another (?3), with the content of version ?4 of each
SELECT p.part_id, v.data_hash FROM part p
LEFT JOIN version v ON v.asset_id = ?1 AND v.part_id = p.part_id AND v.number = ?4
WHERE p.part_id BETWEEN ?2 AND ?3 AND +p.asset_id = ?1
ORDER BY p.part_id

-- add_shape: make sure that the schema of a table is recorded
INSERT INTO shape (text) VALUES (?) ON CONFLICT (text) DO NOTHING

-- next_seq: count one more commit
UPDATE counter SET value = value + 1 WHERE name = 'seq' RETURNING value

-- journal_number: how many transactions the journal has been told of
SELECT value FROM counter WHERE name = 'journal'

-- next_journal_number: count one more
UPDATE counter SET value = value + 1 WHERE name = 'journal' RETURNING value

-- head_now: the trace that is current, its content and its version
SELECT h.trace_id, v.data_hash, v.version_id FROM head h JOIN trace t USING (trace_id) JOIN version v USING (version_id)
WHERE h.env_id = ? AND h.asset_id = ? AND h.part_id = ?

-- add_head: the first head of an asset partition, unless another run was faster
INSERT INTO head (env_id, asset_id, part_id, trace_id, seq, changed_seq, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (env_id, asset_id, part_id) DO NOTHING

-- move_head: compare and swap; no row changes when the head is not the trace that was seen
UPDATE head SET trace_id = ?, seq = ?, changed_seq = coalesce(?, changed_seq), verified_at = ?
WHERE env_id = ? AND asset_id = ? AND part_id = ? AND trace_id = ?

-- log_head: remember the move
INSERT INTO head_log (env_id, asset_id, part_id, seq, trace_id, run_id, moved_at, cause) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- verify_heads: the heads of these assets (a JSON list of keys) were found current
UPDATE head SET verified_at = ?
WHERE env_id = ? AND asset_id IN (SELECT asset_id FROM asset JOIN json_each(?) w ON w.value = asset.key)

-- add_run: begin a run
INSERT INTO run (env_id, state, selection, started_at, user, host, pid, cause) VALUES (?, 'running', ?, ?, ?, ?, ?, ?)
RETURNING run_id

-- run_state: the state of a run
SELECT state FROM run WHERE run_id = ?

-- finish_run: a running run ends; a terminal state never changes
UPDATE run SET state = ?, finished_at = ?, counts = ? WHERE run_id = ? AND state = 'running'

-- end_dead_runs: runs of an environment that nobody works on any more
UPDATE run SET state = 'died', finished_at = ? WHERE state = 'running' AND env_id = ? RETURNING run_id

-- end_dead_attempts: what a run that has ended left as running
UPDATE attempt SET state = 'died', finished_at = ? WHERE state = 'running' AND run_id = ?

-- runs_by_id: these runs (a JSON list of numbers)
SELECT r.run_id, e.name, r.state, r.cause, r.selection, r.started_at, r.finished_at, r.user, r.host, r.pid, r.counts
FROM run r JOIN env e USING (env_id) JOIN json_each(?) w ON w.value = r.run_id ORDER BY r.run_id DESC

-- running: the runs that have not ended
SELECT r.run_id, e.name, r.state, r.cause, r.selection, r.started_at, r.finished_at, r.user, r.host, r.pid, r.counts
FROM run r JOIN env e USING (env_id) WHERE r.state = 'running'

-- runs: the newest runs, of one environment or of all (null)
SELECT r.run_id, e.name, r.state, r.cause, r.selection, r.started_at, r.finished_at, r.user, r.host, r.pid, r.counts
FROM run r JOIN env e USING (env_id) WHERE e.name = coalesce(?, e.name) ORDER BY r.run_id DESC LIMIT ?

-- run: one run
SELECT r.run_id, e.name, r.state, r.cause, r.selection, r.started_at, r.finished_at, r.user, r.host, r.pid, r.counts
FROM run r JOIN env e USING (env_id) WHERE r.run_id = ?

-- save_attempt: write or rewrite an attempt
INSERT INTO attempt (run_id, asset_id, part_id, number, state, started_at, finished_at, version, facts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id, asset_id, part_id, number) DO UPDATE SET state = excluded.state, started_at = excluded.started_at,
    finished_at = excluded.finished_at, version = excluded.version, facts = excluded.facts

-- add_commit_time: how long the commit of an attempt took
UPDATE attempt SET facts = json_set(facts, '$.seconds', json_set(coalesce(facts -> '$.seconds', '{}'), '$.commit', ?))
WHERE run_id = ? AND asset_id = ? AND part_id = ? AND number = ?

-- save_last_attempt: remember the newest attempt
INSERT INTO last_attempt (env_id, asset_id, part_id, run_id, number) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (env_id, asset_id, part_id) DO UPDATE SET run_id = excluded.run_id, number = excluded.number

-- attempts: the attempts of a run, in the order they began
SELECT t.run_id, a.key, p.key, t.number, t.state, t.started_at, t.finished_at, t.version, t.facts
FROM attempt t JOIN asset a USING (asset_id) JOIN part p ON p.part_id = t.part_id
WHERE t.run_id = ? ORDER BY coalesce(t.started_at, 1e99), a.key, t.number

-- attempts_in: those of a run (?1) at an asset, or at these partitions of it (?3, a JSON list; null for all)
SELECT t.run_id, a.key, p.key, t.number, t.state, t.started_at, t.finished_at, t.version, t.facts
FROM asset a JOIN attempt t ON t.run_id = ?1 AND t.asset_id = a.asset_id JOIN part p ON p.part_id = t.part_id
WHERE a.key = ?2 AND (?3 = 'null' OR p.key IN (SELECT value FROM json_each(?3)))
ORDER BY coalesce(t.started_at, 1e99), a.key, t.number

-- last_call: the newest run, of one environment (?1; null for all), in which the function of an asset (?2) was called, or that of
-- these partitions (?3, a JSON list; null for all). Runs are walked from the newest on; each is one look into the primary key.
SELECT r.run_id FROM run r JOIN env e USING (env_id)
WHERE e.name = coalesce(?1, e.name) AND EXISTS (
    SELECT 1 FROM asset a CROSS JOIN attempt t ON t.run_id = r.run_id AND t.asset_id = a.asset_id
    CROSS JOIN part p ON p.part_id = t.part_id
    WHERE a.key = ?2 AND t.state NOT IN ('blocked', 'linked', 'cut_off')
      AND (?3 = 'null' OR p.key IN (SELECT value FROM json_each(?3)))
)
ORDER BY r.run_id DESC LIMIT 1

-- last_attempts: the newest attempt of every asset partition of an environment
SELECT t.run_id, a.key, p.key, t.number, t.state, t.started_at, t.finished_at, t.version, t.facts
FROM last_attempt l
JOIN env e USING (env_id)
JOIN attempt t ON t.run_id = l.run_id AND t.asset_id = l.asset_id AND t.part_id = l.part_id AND t.number = l.number
JOIN asset a ON a.asset_id = l.asset_id
JOIN part p ON p.part_id = l.part_id
WHERE e.name = ?

-- last_attempts_in: the newest attempts in an environment (?1) of assets without partitions, and of these partitions (?2)
SELECT t.run_id, a.key, p.key, t.number, t.state, t.started_at, t.finished_at, t.version, t.facts
FROM (
    SELECT w.* FROM env e CROSS JOIN asset o
    CROSS JOIN last_attempt w ON w.env_id = e.env_id AND w.asset_id = o.asset_id AND w.part_id = 0
    WHERE e.name = ?1
    UNION ALL
    SELECT w.* FROM env e CROSS JOIN json_each(?2) one
    CROSS JOIN asset o ON o.key = one.value ->> 0 CROSS JOIN part q ON q.asset_id = o.asset_id AND q.key = one.value ->> 1
    CROSS JOIN last_attempt w ON w.env_id = e.env_id AND w.asset_id = o.asset_id AND w.part_id = q.part_id
    WHERE e.name = ?1
) l
CROSS JOIN attempt t ON t.run_id = l.run_id AND t.asset_id = l.asset_id AND t.part_id = l.part_id AND t.number = l.number
CROSS JOIN asset a ON a.asset_id = l.asset_id
CROSS JOIN part p ON p.part_id = l.part_id

-- slot_heads: the partitions of these assets (?2) that are current in an environment and have bytes; columns of those in ?3.
-- With ?4 only those that are stored by another IO manager, or of which was seen what they opened.
SELECT a.key, p.key, t.input_key, t.fp_id, t.discovered, v.data_hash, v.row_count,
       CASE WHEN a.key IN (SELECT value FROM json_each(?3)) THEN v.columns END, v.io, v.location
FROM env e CROSS JOIN json_each(?2) w
JOIN asset a ON a.key = w.value
JOIN head h ON h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id <> 0
JOIN part p ON p.part_id = h.part_id
JOIN trace t ON t.trace_id = h.trace_id
JOIN version v ON v.version_id = t.version_id
WHERE e.name = ?1 AND v.state = 'live' AND (?4 = '' OR t.discovered <> '{}' OR v.io <> ?4)

-- slot_texts: the others of one asset (?2), as one text for each column, with a line feed between two entries: hashes only
-- with ?4. One row of long texts takes less than half the time of a row for each partition. `char(10)` and parameters would
-- be made anew for each, so the line feeds are written out.
SELECT count(*), total(v.location < ?5 OR v.location >= ?6), group_concat(p.key, '
'), group_concat(t.input_key, '
'), group_concat(CASE WHEN ?4 THEN v.data_hash END, '
'), group_concat(t.fp_id, '
')
FROM env e CROSS JOIN asset a ON a.key = ?2
CROSS JOIN head h ON h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id > 0
CROSS JOIN part p ON p.part_id = h.part_id
CROSS JOIN trace t ON t.trace_id = h.trace_id AND t.discovered = '{}'
CROSS JOIN version v ON v.version_id = t.version_id AND v.state = 'live' AND v.io = ?3
WHERE e.name = ?1

-- slot_texts_alike: of these only those of one definition (?7) with locations from ?5 to before ?6, as most are; and their
-- sums as in slot_totals, which are of all of the asset where these are. The newest is the one of the only max.
SELECT count(*), group_concat(p.key, '
'), group_concat(t.input_key, '
'), group_concat(CASE WHEN ?4 THEN v.data_hash END, '
'), CASE count(*) WHEN count(v.row_count) THEN sum(v.row_count) END, coalesce(sum(v.size_bytes), 0), max(t.finished_at), p.key
FROM env e CROSS JOIN asset a ON a.key = ?2
CROSS JOIN head h ON h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id > 0
CROSS JOIN part p ON p.part_id = h.part_id
CROSS JOIN trace t ON t.trace_id = h.trace_id AND t.discovered = '{}' AND t.fp_id = ?7
CROSS JOIN version v ON v.version_id = t.version_id AND v.state = 'live' AND v.io = ?3
    AND v.location >= ?5 AND v.location < ?6
WHERE e.name = ?1

-- slot_counts: how many partitions of these assets (?2) are current in an environment, and of one of each how it is stored
-- and its definition
SELECT c.key, c.count, CASE t.discovered WHEN '{}' THEN v.io ELSE '' END, t.fp_id
FROM (
    SELECT a.key, (
        SELECT count(*) FROM head h WHERE h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id > 0
    ) AS count, (
        SELECT h.trace_id FROM head h WHERE h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id > 0 LIMIT 1
    ) AS first
    FROM env e CROSS JOIN json_each(?2) w CROSS JOIN asset a ON a.key = w.value
    WHERE e.name = ?1
) c CROSS JOIN trace t ON t.trace_id = c.first CROSS JOIN version v ON v.version_id = t.version_id

-- definitions: the packages of these definitions (a JSON list of numbers), and what stood for their code
SELECT f.fp_id, f.packages, coalesce('declared:' || f.declared, f.code) FROM json_each(?) w JOIN fp f ON f.fp_id = w.value

-- heads_since: the partitions whose head moved in an environment (?1) after a commit (?2)
SELECT a.key, p.key FROM env e CROSS JOIN head h ON h.env_id = e.env_id AND h.seq > ?2
JOIN asset a ON a.asset_id = h.asset_id JOIN part p ON p.part_id = h.part_id
WHERE e.name = ?1 AND h.part_id <> 0

-- count_since: how many partitions these are
SELECT count(*) FROM env e CROSS JOIN head h ON h.env_id = e.env_id AND h.seq > ?2 WHERE e.name = ?1 AND h.part_id <> 0

-- assets_since: the assets of these partitions
SELECT DISTINCT a.key FROM env e CROSS JOIN head h ON h.env_id = e.env_id AND h.seq > ?2
JOIN asset a ON a.asset_id = h.asset_id WHERE e.name = ?1 AND h.part_id <> 0

-- slots_without_bytes: the partitions that are current in an environment with a version that is not live
SELECT a.key, p.key FROM env e CROSS JOIN version v INDEXED BY version_gone
CROSS JOIN head h ON h.env_id = e.env_id AND h.asset_id = v.asset_id AND h.part_id = v.part_id
CROSS JOIN trace t ON t.trace_id = h.trace_id AND t.version_id = v.version_id
CROSS JOIN asset a ON a.asset_id = h.asset_id CROSS JOIN part p ON p.part_id = h.part_id
WHERE e.name = ? AND v.state <> 'live' AND v.part_id <> 0

-- slots_with_head: the partitions of these assets (a JSON list of keys) that are current in an environment
SELECT a.key, p.key FROM env e CROSS JOIN json_each(?2) w CROSS JOIN asset a ON a.key = w.value
CROSS JOIN head h ON h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id <> 0
CROSS JOIN part p ON p.part_id = h.part_id
WHERE e.name = ?1

-- slots_without_success: the partitions of an environment whose newest attempt neither made nor kept a version
SELECT a.key, p.key FROM env e CROSS JOIN attempt t INDEXED BY attempt_in_vain
CROSS JOIN last_attempt l ON l.env_id = e.env_id AND l.asset_id = t.asset_id AND l.part_id = t.part_id
    AND l.run_id = t.run_id AND l.number = t.number
CROSS JOIN asset a ON a.asset_id = t.asset_id CROSS JOIN part p ON p.part_id = t.part_id
WHERE e.name = ? AND t.state NOT IN ('materialized', 'unchanged', 'linked', 'cut_off') AND t.part_id <> 0

-- definitions_of: the definitions that made something of these assets (a JSON list of keys), and what stood for their code
SELECT a.key, f.fp_id, coalesce('declared:' || f.declared, f.code)
FROM (
    SELECT DISTINCT t.asset_id, t.fp_id FROM json_each(?) w CROSS JOIN asset o ON o.key = w.value
    CROSS JOIN trace t INDEXED BY trace_by_asset ON t.asset_id = o.asset_id
) d CROSS JOIN asset a ON a.asset_id = d.asset_id CROSS JOIN fp f ON f.fp_id = d.fp_id

-- slots_made_before: the partitions of these assets (?2) with a live version of these definitions (?3), not current in ?1
SELECT DISTINCT a.key, p.key FROM env e CROSS JOIN json_each(?2) w CROSS JOIN asset a ON a.key = w.value
CROSS JOIN trace t INDEXED BY trace_by_asset ON t.asset_id = a.asset_id AND t.fp_id IN (SELECT value FROM json_each(?3))
LEFT JOIN head h ON h.env_id = e.env_id AND h.asset_id = t.asset_id AND h.part_id = t.part_id
CROSS JOIN version v ON v.version_id = t.version_id AND v.state = 'live' CROSS JOIN part p ON p.part_id = t.part_id
WHERE e.name = ?1 AND t.part_id <> 0 AND h.trace_id IS NOT t.trace_id

-- slot_places: where what is current in an environment (?1) of the partitions of an asset (?2) is stored, if it has bytes
SELECT p.key, v.io, v.location
FROM env e CROSS JOIN asset a ON a.key = ?2
CROSS JOIN head h ON h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id <> 0
CROSS JOIN part p ON p.part_id = h.part_id
CROSS JOIN trace t ON t.trace_id = h.trace_id
CROSS JOIN version v ON v.version_id = t.version_id AND v.state = 'live'
WHERE e.name = ?1

-- slot_places_in: the same of these partitions (?3, a JSON list of keys) only, and their columns
SELECT p.key, v.io, v.location, v.columns
FROM env e CROSS JOIN asset a ON a.key = ?2 CROSS JOIN json_each(?3) w
CROSS JOIN part p ON p.asset_id = a.asset_id AND p.key = w.value
CROSS JOIN head h ON h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id = p.part_id
CROSS JOIN trace t ON t.trace_id = h.trace_id
CROSS JOIN version v ON v.version_id = t.version_id AND v.state = 'live'
WHERE e.name = ?1

-- slot_columns: the columns of what is current in an environment (?1) of the partitions of an asset (?2), each schema once
SELECT v.columns
FROM env e CROSS JOIN asset a ON a.key = ?2
CROSS JOIN head h ON h.env_id = e.env_id AND h.asset_id = a.asset_id AND h.part_id <> 0
CROSS JOIN trace t ON t.trace_id = h.trace_id
CROSS JOIN version v ON v.version_id = t.version_id AND v.state = 'live'
WHERE e.name = ?1
GROUP BY coalesce(v.shape_id, -v.version_id)

-- slot_totals: of the partitions of these assets (?2) that are current in an environment: rows (null: not all are tables),
-- bytes, the newest
SELECT a.key, CASE count(*) WHEN count(v.row_count) THEN sum(v.row_count) END, coalesce(sum(v.size_bytes), 0),
       max(t.finished_at), p.key
FROM env e CROSS JOIN head h ON h.env_id = e.env_id
    AND h.asset_id IN (SELECT o.asset_id FROM json_each(?2) w JOIN asset o ON o.key = w.value) AND h.part_id > 0
CROSS JOIN asset a ON a.asset_id = h.asset_id
CROSS JOIN part p ON p.part_id = h.part_id
CROSS JOIN trace t ON t.trace_id = h.trace_id
CROSS JOIN version v ON v.version_id = t.version_id
WHERE e.name = ?1
GROUP BY h.asset_id

-- newest_trace: what was recorded last, in any environment
SELECT trace_id, input_key, finished_at FROM trace ORDER BY trace_id DESC LIMIT 1

-- trace_facts: what is told of one trace
SELECT trace_id, input_key, finished_at FROM trace WHERE trace_id = ?

-- note: what a run left noted under a name, for those that look later
SELECT value FROM meta WHERE name = ?

-- put_note: note something under a name. It is derived, and in no journal
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- seq: how many commits moved a head
SELECT value FROM counter WHERE name = 'seq'

-- attempts_of: the newest attempts of an asset, or of these partitions of it (?3, a JSON list; null for all)
SELECT t.run_id, a.key, p.key, t.number, t.state, t.started_at, t.finished_at, t.version, t.facts
FROM attempt t JOIN asset a USING (asset_id) JOIN part p ON p.part_id = t.part_id
WHERE a.key = ?1 AND (?3 = 'null' OR p.key IN (SELECT value FROM json_each(?3)))
ORDER BY t.run_id DESC, t.number DESC LIMIT ?2

-- file_states: what every source file looked like when it was hashed
SELECT path, size, mtime_ns, inode, ctime_ns, digest, recorded_ns FROM file_state

-- save_file_state: what a source file looks like now
INSERT INTO file_state (path, size, mtime_ns, inode, ctime_ns, digest, recorded_ns) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode,
    ctime_ns = excluded.ctime_ns, digest = excluded.digest, recorded_ns = excluded.recorded_ns

-- version_uses: every version with bytes, when it was made or last stopped being current, and whether it is current now
WITH moves AS (
    SELECT trace_id, lead(moved_at) OVER (PARTITION BY env_id, asset_id, part_id ORDER BY seq) AS left_at FROM head_log
), gone AS (
    SELECT t.version_id, max(m.left_at) AS left_at FROM moves m JOIN trace t USING (trace_id) GROUP BY t.version_id
), now AS (
    SELECT DISTINCT t.version_id FROM head h JOIN trace t USING (trace_id)
)
SELECT v.version_id, a.key, p.key, v.number, coalesce(v.size_bytes, 0), v.state,
       max(v.created_at, coalesce(g.left_at, 0)), n.version_id IS NOT NULL
FROM version v
JOIN asset a USING (asset_id)
JOIN part p ON p.part_id = v.part_id
LEFT JOIN gone g USING (version_id)
LEFT JOIN now n USING (version_id)
WHERE v.location <> '' AND v.state IN ('live', 'condemned', 'rejected')

-- versions_read: what each version was made from, by its current traces and its newest one
WITH telling AS (
    SELECT trace_id FROM head UNION SELECT max(trace_id) FROM trace GROUP BY version_id
)
SELECT DISTINCT t.version_id, u.version_id
FROM telling JOIN trace t USING (trace_id)
JOIN trace_in i USING (trace_id)
JOIN version u ON u.asset_id = i.up_asset_id AND u.part_id BETWEEN i.lo AND i.hi AND u.number = i.number

-- set_version_state: these versions (a JSON list of numbers) that were in one state (?2) are in another from now on
UPDATE version SET state = ?3, state_at = ?4
WHERE version_id IN (SELECT value FROM json_each(?1)) AND state = ?2

-- versions_in: the versions that have a place in the storage and are in one of these states (a JSON list)
SELECT v.version_id, a.key, p.key, v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns,
       v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM version v
JOIN asset a USING (asset_id)
JOIN part p ON p.part_id = v.part_id
WHERE v.location <> '' AND v.state IN (SELECT value FROM json_each(?))
ORDER BY v.version_id

-- end_dead_run: a run that nobody works on any more
UPDATE run SET state = 'died', finished_at = ? WHERE state = 'running' AND run_id = ?

-- heads_of_versions: the environments in which these versions (a JSON list of numbers) are current
SELECT t.version_id, e.name, a.key FROM head h
JOIN trace t USING (trace_id) JOIN env e USING (env_id) JOIN asset a ON a.asset_id = h.asset_id
WHERE t.version_id IN (SELECT value FROM json_each(?))
ORDER BY e.name, a.key

-- heads_without_bytes: heads whose version was removed or is about to be
SELECT e.name, a.key, v.number, v.state FROM head h
JOIN env e USING (env_id) JOIN asset a ON a.asset_id = h.asset_id
JOIN trace t USING (trace_id) JOIN version v USING (version_id)
WHERE v.state = 'evicted'

-- heads_off_their_log: heads that are not the last line of their log
SELECT e.name, a.key FROM head h
JOIN env e USING (env_id) JOIN asset a ON a.asset_id = h.asset_id
WHERE NOT EXISTS (
    SELECT 1 FROM head_log l
    WHERE l.env_id = h.env_id AND l.asset_id = h.asset_id AND l.part_id = h.part_id
      AND l.seq = h.seq AND l.trace_id = h.trace_id
) OR h.seq <> (
    SELECT max(l.seq) FROM head_log l
    WHERE l.env_id = h.env_id AND l.asset_id = h.asset_id AND l.part_id = h.part_id
)

-- traces_of_another: traces whose version belongs to another asset partition
SELECT a.key, t.trace_id FROM trace t JOIN asset a USING (asset_id) JOIN version v USING (version_id)
WHERE v.asset_id <> t.asset_id OR v.part_id <> t.part_id

-- seq_behind: the highest number of a move, when the counter is behind it
SELECT max(h.seq), c.value FROM head_log h JOIN counter c ON c.name = 'seq' HAVING max(h.seq) > c.value

-- newest_record: the latest time that anything in the catalog speaks of
SELECT max(coalesce((SELECT max(created_at) FROM version), 0), coalesce((SELECT max(started_at) FROM run), 0))

-- environments: the names of all environments
SELECT name FROM env ORDER BY env_id

-- counted: how many versions have bytes, and how many heads and environments there are
SELECT (SELECT count(*) FROM version WHERE location <> '' AND state = 'live'),
       (SELECT count(*) FROM head), (SELECT count(*) FROM env)

-- missing_runs: runs that traces or moves of heads speak of and that are not recorded, and when they were at work
SELECT r.run_id, min(r.env_id), min(r.began), max(r.ended) FROM (
    SELECT t.run_id, l.env_id, t.started_at AS began, t.finished_at AS ended
    FROM trace t LEFT JOIN head_log l USING (trace_id)
    UNION ALL SELECT run_id, env_id, moved_at, moved_at FROM head_log
) r
WHERE r.run_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM run WHERE run.run_id = r.run_id)
GROUP BY r.run_id

-- add_lost_run: a run of which only its number is known
INSERT INTO run (run_id, env_id, state, cause, selection, started_at, finished_at, user, host, pid)
VALUES (?, ?, 'lost', 'restored', '', ?, ?, '', '', 0)

-- last_run_number: the highest number that a run ever had
SELECT max(coalesce((SELECT max(run_id) FROM run), 0), coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'run'), 0))

-- forget_run_number: how high the numbers of runs were
DELETE FROM sqlite_sequence WHERE name = 'run'

-- set_run_number: let the next run have a number above this one
INSERT INTO sqlite_sequence (name, seq) VALUES ('run', ?)

-- known_locations: where versions are, and in which state
SELECT location, state FROM version WHERE location <> ''

-- part_id: the number of a partition of an asset
SELECT part_id FROM part WHERE asset_id = ? AND key = ?

-- add_part: give a partition of an asset a number
INSERT INTO part (asset_id, key) VALUES (?, ?) RETURNING part_id

-- number_of_content: the newest version of an asset that has this content; one whose bytes are there comes first
SELECT number FROM version v JOIN asset a USING (asset_id) JOIN part p ON p.part_id = v.part_id
WHERE a.key = ? AND p.key = ? AND v.data_hash = ? AND v.state <> 'rejected'
ORDER BY state = 'live' DESC, number DESC LIMIT 1

-- pins: the heads of an environment that runs leave alone
SELECT a.key, p.key, n.cause, n.user, n.pinned_at
FROM pin n
JOIN env e USING (env_id)
JOIN asset a ON a.asset_id = n.asset_id
JOIN part p ON p.part_id = n.part_id
WHERE e.name = ?

-- put_pin: pin a head, or pin it for another cause
INSERT INTO pin (env_id, asset_id, part_id, cause, user, pinned_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (env_id, asset_id, part_id) DO UPDATE SET cause = excluded.cause, user = excluded.user,
    pinned_at = excluded.pinned_at

-- drop_pins: unpin these asset partitions (a JSON list of pairs of keys)
DELETE FROM pin
WHERE env_id = (SELECT env_id FROM env WHERE name = ?1)
  AND (asset_id, part_id) IN (
      SELECT a.asset_id, CASE w.value ->> 1 WHEN '' THEN 0 ELSE (
          SELECT part_id FROM part WHERE asset_id = a.asset_id AND key = w.value ->> 1
      ) END
      FROM json_each(?2) w JOIN asset a ON a.key = w.value ->> 0
  )
RETURNING asset_id

-- moves_at: what was current in an environment after a commit, of these asset partitions (a JSON list of pairs of keys; null for all)
SELECT a.key, p.key, t.trace_id, l.seq, l.seq, l.moved_at,
       t.input_key, t.version_id, l.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state,
       l.cause
FROM (
    SELECT env_id, asset_id, part_id, max(seq) AS seq FROM head_log
    WHERE env_id = (SELECT env_id FROM env WHERE name = ?1) AND seq <= ?2
      AND (?3 IS NULL OR (asset_id, part_id) IN (
          SELECT a.asset_id, CASE w.value ->> 1 WHEN '' THEN 0 ELSE (
              SELECT part_id FROM part WHERE asset_id = a.asset_id AND key = w.value ->> 1
          ) END
          FROM json_each(?3) w JOIN asset a ON a.key = w.value ->> 0
      ))
    GROUP BY env_id, asset_id, part_id
)
JOIN head_log l USING (env_id, asset_id, part_id, seq)
JOIN asset a ON a.asset_id = l.asset_id
JOIN part p ON p.part_id = l.part_id
JOIN trace t ON t.trace_id = l.trace_id
JOIN fp f ON f.fp_id = t.fp_id
JOIN version v ON v.version_id = t.version_id

-- moves_back: the last move to the version that these asset partitions (a JSON list of pairs of keys) had so many versions ago
SELECT a.key, p.key, t.trace_id, l.seq, l.seq, l.moved_at,
       t.input_key, t.version_id, l.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state,
       l.cause
FROM (
    SELECT *, row_number() OVER (PARTITION BY asset_id, part_id ORDER BY seq DESC) - 1 AS back
    FROM (
        SELECT h.env_id, h.asset_id, h.part_id, h.seq, r.version_id,
               lead(r.version_id) OVER (PARTITION BY h.asset_id, h.part_id ORDER BY h.seq) AS next_version
        FROM json_each(?2) w CROSS JOIN asset k ON k.key = w.value ->> 0
        CROSS JOIN head_log h ON h.env_id = (SELECT env_id FROM env WHERE name = ?1) AND h.asset_id = k.asset_id
            AND h.part_id = CASE w.value ->> 1 WHEN '' THEN 0 ELSE (
                SELECT part_id FROM part WHERE asset_id = k.asset_id AND key = w.value ->> 1
            ) END
        CROSS JOIN trace r USING (trace_id)
    )
    WHERE next_version IS NULL OR next_version <> version_id
) m
JOIN head_log l USING (env_id, asset_id, part_id, seq)
JOIN asset a ON a.asset_id = l.asset_id
JOIN part p ON p.part_id = l.part_id
JOIN trace t ON t.trace_id = l.trace_id
JOIN fp f ON f.fp_id = t.fp_id
JOIN version v ON v.version_id = t.version_id
WHERE m.back = ?3

-- moves_to: the last move of these asset partitions (a JSON list of pairs of keys) to the version with this number
SELECT a.key, p.key, t.trace_id, l.seq, l.seq, l.moved_at,
       t.input_key, t.version_id, l.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state,
       l.cause
FROM (
    SELECT h.env_id, h.asset_id, h.part_id, max(h.seq) AS seq
    FROM json_each(?2) w CROSS JOIN asset k ON k.key = w.value ->> 0
    CROSS JOIN head_log h ON h.env_id = (SELECT env_id FROM env WHERE name = ?1) AND h.asset_id = k.asset_id
        AND h.part_id = CASE w.value ->> 1 WHEN '' THEN 0 ELSE (
            SELECT part_id FROM part WHERE asset_id = k.asset_id AND key = w.value ->> 1
        ) END
    CROSS JOIN trace r USING (trace_id) CROSS JOIN version n USING (version_id)
    WHERE n.number = ?3
    GROUP BY h.env_id, h.asset_id, h.part_id
)
JOIN head_log l USING (env_id, asset_id, part_id, seq)
JOIN asset a ON a.asset_id = l.asset_id
JOIN part p ON p.part_id = l.part_id
JOIN trace t ON t.trace_id = l.trace_id
JOIN fp f ON f.fp_id = t.fp_id
JOIN version v ON v.version_id = t.version_id

-- traces_to: the newest trace of the version with this number of these asset partitions (a JSON list of pairs of keys)
SELECT a.key, p.key, t.trace_id, 0, 0, t.finished_at,
       t.input_key, t.version_id, t.run_id, t.kind, t.started_at, t.finished_at, t.as_of, t.metadata, t.discovered,
       f.code, f.parts, f.config, f.packages, f.files, f.env, f.notes, f.scheme, f.declared,
       v.number, v.data_hash, v.io, v.location, v.row_count, v.size_bytes, v.columns, v.details, (SELECT text FROM shape WHERE shape_id = v.shape_id), v.created_at, v.state
FROM json_each(?1) wanted
CROSS JOIN asset a ON a.key = wanted.value ->> 0
CROSS JOIN part p ON p.part_id = CASE wanted.value ->> 1 WHEN '' THEN 0 ELSE (
    SELECT part_id FROM part WHERE asset_id = a.asset_id AND key = wanted.value ->> 1
) END
CROSS JOIN version v ON v.asset_id = a.asset_id AND v.part_id = p.part_id AND v.number = ?2
JOIN trace t ON t.asset_id = v.asset_id AND t.trace_id = (
    SELECT max(trace_id) FROM trace WHERE asset_id = v.asset_id AND part_id = v.part_id AND version_id = v.version_id
)
JOIN fp f ON f.fp_id = t.fp_id

-- seq_at: the last commit that moved a head of an environment at this time or before
SELECT max(l.seq) FROM head_log l JOIN env e USING (env_id) WHERE e.name = ? AND l.moved_at <= ?

-- seq_of_run: the last commit of a run that moved a head
SELECT max(l.seq) FROM head_log l JOIN env e USING (env_id) WHERE e.name = ? AND l.run_id = ?

-- next_move: the first commit after this one that moved the head of an asset partition
SELECT min(l.seq) FROM head_log l JOIN env e USING (env_id) JOIN asset a ON a.asset_id = l.asset_id
JOIN part p ON p.part_id = l.part_id
WHERE e.name = ? AND a.key = ? AND p.key = ? AND l.seq > ?

-- first_move: the first version that an asset partition had in an environment, and since when
SELECT v.number, l.moved_at FROM head_log l
JOIN env e USING (env_id)
JOIN asset a ON a.asset_id = l.asset_id
JOIN part p ON p.part_id = l.part_id
JOIN trace t USING (trace_id)
JOIN version v USING (version_id)
WHERE e.name = ? AND a.key = ? AND p.key = ? ORDER BY l.seq LIMIT 1

-- version_numbers: the first and the last version of an asset partition, and how many there are
SELECT min(v.number), max(v.number), count(*) FROM version v JOIN asset a USING (asset_id) JOIN part p ON p.part_id = v.part_id
WHERE a.key = ? AND p.key = ?

-- evicted_at: when the bytes of a version were removed
SELECT state_at FROM version WHERE version_id = ? AND state = 'evicted'

-- made_by: the first trace that computed a version, and its run
SELECT trace_id, run_id FROM trace WHERE version_id = ? AND kind = 'run' ORDER BY trace_id LIMIT 1

-- env_names: all environments
SELECT name FROM env ORDER BY name

-- trace_now: what a trace stands for: asset, partition, content, and the state of its version
SELECT t.asset_id, t.part_id, v.data_hash, v.state FROM trace t JOIN version v USING (version_id) WHERE t.trace_id = ?

-- log_pointer: remember a move that no run made
INSERT INTO head_log (env_id, asset_id, part_id, seq, trace_id, run_id, moved_at, cause) VALUES (?, ?, ?, ?, ?, NULL, ?, ?)

-- drop_loose_parts: partitions of assets that are not known
DELETE FROM part WHERE asset_id IS NOT NULL AND asset_id NOT IN (SELECT asset_id FROM asset)

-- drop_loose_versions: versions of assets or partitions that are not known
DELETE FROM version
WHERE asset_id NOT IN (SELECT asset_id FROM asset) OR part_id NOT IN (SELECT part_id FROM part)

-- drop_loose_traces: traces of what is not known
DELETE FROM trace
WHERE asset_id NOT IN (SELECT asset_id FROM asset) OR part_id NOT IN (SELECT part_id FROM part)
   OR version_id NOT IN (SELECT version_id FROM version) OR fp_id NOT IN (SELECT fp_id FROM fp)

-- drop_loose_inputs: what traces that are not known read, and inputs that are not known
DELETE FROM trace_in
WHERE trace_id NOT IN (SELECT trace_id FROM trace) OR up_asset_id NOT IN (SELECT asset_id FROM asset)

-- drop_loose_moves: moves of heads to traces that are not known
DELETE FROM head_log WHERE trace_id NOT IN (SELECT trace_id FROM trace)

-- drop_loose_heads: heads on traces, or in environments, that are not known
DELETE FROM head
WHERE trace_id NOT IN (SELECT trace_id FROM trace) OR env_id NOT IN (SELECT env_id FROM env)
   OR asset_id NOT IN (SELECT asset_id FROM asset) OR part_id NOT IN (SELECT part_id FROM part)

-- drop_loose_pins: pins of what is not known
DELETE FROM pin
WHERE env_id NOT IN (SELECT env_id FROM env) OR asset_id NOT IN (SELECT asset_id FROM asset)
   OR part_id NOT IN (SELECT part_id FROM part)

-- drop_loose_runs: runs of environments that are not known
DELETE FROM run WHERE env_id NOT IN (SELECT env_id FROM env)

-- drop_loose_attempts: attempts of runs or assets that are not known
DELETE FROM attempt
WHERE run_id NOT IN (SELECT run_id FROM run) OR asset_id NOT IN (SELECT asset_id FROM asset)
   OR part_id NOT IN (SELECT part_id FROM part)

-- drop_loose_invalidations: what was said of what is not known
DELETE FROM invalidation
WHERE env_id NOT IN (SELECT env_id FROM env) OR asset_id NOT IN (SELECT asset_id FROM asset)
   OR part_id NOT IN (SELECT part_id FROM part)

-- drop_loose_revocations: traces that were taken back and are not known
DELETE FROM revoked WHERE trace_id NOT IN (SELECT trace_id FROM trace)

-- drop_loose_keys: input keys of what is not known
DELETE FROM unsteady
WHERE asset_id NOT IN (SELECT asset_id FROM asset) OR part_id NOT IN (SELECT part_id FROM part)

-- count_to_the_last_move: let moves be counted to the highest number that one has
UPDATE counter SET value = max(value, (SELECT coalesce(max(seq), 0) FROM head_log)) WHERE name = 'seq'

-- set_journal_number: how many transactions the journal has been told of
UPDATE counter SET value = ? WHERE name = 'journal'

-- env_id_of_any: the first environment
SELECT min(env_id) FROM env

-- forget_lost_runs: traces of runs that are not known are of no run
UPDATE trace SET run_id = NULL WHERE run_id NOT IN (SELECT run_id FROM run)

-- count_runs: how many runs of an environment ended in each state; those that go on are not counted
SELECT r.state, count(*) FROM run r JOIN env e USING (env_id) WHERE e.name = ? AND r.state <> 'running' GROUP BY r.state

-- count_attempts: how many attempts of an environment ended in each state, by the bound (in seconds) that they kept to,
-- with the sum of their times in whole microseconds, which no order of adding changes
SELECT state,
       CASE WHEN seconds <= 0.1 THEN 0.1 WHEN seconds <= 0.5 THEN 0.5 WHEN seconds <= 1 THEN 1.0
            WHEN seconds <= 5 THEN 5.0 WHEN seconds <= 15 THEN 15.0 WHEN seconds <= 60 THEN 60.0
            WHEN seconds <= 300 THEN 300.0 WHEN seconds <= 900 THEN 900.0 WHEN seconds <= 3600 THEN 3600.0
            WHEN seconds <= 14400 THEN 14400.0 END AS bound,
       count(*), count(seconds), coalesce(sum(CAST(round(1e6 * seconds) AS INTEGER)), 0)
FROM (
    SELECT t.state, max(0.0, t.finished_at - t.started_at) AS seconds
    FROM attempt t JOIN run r USING (run_id) JOIN env e USING (env_id)
    WHERE e.name = ? AND t.state <> 'running'
)
GROUP BY state, bound

-- count_versions: how many versions have bytes in the store, in each state, and how many bytes, as far as is known
SELECT state, count(*), coalesce(sum(size_bytes), 0) FROM version
WHERE location <> '' AND state IN ('live', 'condemned', 'rejected') GROUP BY state

-- schedules: what is recorded of the schedules of jobs
SELECT job, cron, tz, since, mark, is_off, paused_at, paused_by FROM schedule

-- put_schedule: a schedule as it is now
INSERT INTO schedule (job, cron, tz, since, mark, is_off, paused_at, paused_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job) DO UPDATE SET cron = excluded.cron, tz = excluded.tz, since = excluded.since, mark = excluded.mark,
    is_off = excluded.is_off, paused_at = excluded.paused_at, paused_by = excluded.paused_by

-- move_mark: ticks up to an instant are accounted for, unless that is not how far they were seen to be
UPDATE schedule SET mark = ? WHERE job = ? AND mark = ? AND (paused_at IS NOT NULL) = ?

-- claimed_ticks: the ticks that wait or run, of all jobs
SELECT job, scheduled, state, policy, last, count, note, run_id, tries, claimed_at, ended_at
FROM tick WHERE state = 'claimed' ORDER BY scheduled, job

-- last_ticks: of each job the newest tick that somebody took up
SELECT job, max(scheduled), state, policy, last, count, note, run_id, tries, claimed_at, ended_at
FROM tick WHERE state <> 'missed' GROUP BY job

-- missed_ticks: how many ticks of each job were missed
SELECT job, sum(count) FROM tick WHERE state = 'missed' GROUP BY job

-- missed_after: ticks in a row that were missed, of which at least the last was due after a time
SELECT job, scheduled, last, count FROM tick WHERE state = 'missed' AND last > ? ORDER BY job, scheduled

-- ticks_of: the newest ticks of a job
SELECT job, scheduled, state, policy, last, count, note, run_id, tries, claimed_at, ended_at
FROM tick WHERE job = ? ORDER BY scheduled DESC LIMIT ?

-- claim_tick: take up a tick, for the first time or because who took it up died before its run began
INSERT INTO tick (job, scheduled, state, policy, last, note, tries, claimed_at)
VALUES (?1, ?2, 'claimed', ?3, ?2, '', 1, ?4)
ON CONFLICT (job, scheduled) DO UPDATE SET policy = excluded.policy, tries = tries + 1, claimed_at = excluded.claimed_at
WHERE state = 'claimed' AND run_id IS NULL RETURNING tries

-- miss_ticks: ticks in a row that will not run
INSERT INTO tick (job, scheduled, state, policy, last, count, note, ended_at) VALUES (?, ?, 'missed', ?, ?, ?, ?, ?)
ON CONFLICT (job, scheduled) DO UPDATE SET state = 'missed', policy = excluded.policy, last = excluded.last,
    count = excluded.count, note = excluded.note, ended_at = excluded.ended_at
WHERE state = 'claimed' AND run_id IS NULL

-- ahead: the ticks that something became of already, and that lie after what is accounted for
SELECT s.job, t.scheduled FROM schedule s CROSS JOIN tick t ON t.job = s.job AND t.scheduled > s.mark

-- missed_across: ticks that were missed on both sides of an instant
SELECT job, scheduled, state, policy, last, count, note, run_id, tries, claimed_at, ended_at
FROM tick WHERE job = ?1 AND state = 'missed' AND scheduled <= ?2 AND last > ?2

-- forget_ticks: those of a job that ended, lie before an instant, and that so many newer ones have come after
DELETE FROM tick WHERE job = ?1 AND state <> 'claimed' AND last < ?2
    AND scheduled < (SELECT scheduled FROM tick WHERE job = ?1 ORDER BY scheduled DESC LIMIT 1 OFFSET ?3)

-- forget_missed: ticks after an instant are not missed
DELETE FROM tick WHERE job = ? AND state = 'missed' AND scheduled > ?

-- shorten_missed: fewer ticks in a row were missed
UPDATE tick SET last = ?, count = ? WHERE job = ? AND scheduled = ? AND state = 'missed'

-- tick_begins: the run that a tick became
UPDATE tick SET run_id = ? WHERE job = ? AND scheduled = ? AND tries = ? AND state = 'claimed' AND run_id IS NULL

-- end_tick: what became of a tick that somebody had taken up
UPDATE tick SET state = ?, note = ?, ended_at = ? WHERE job = ? AND scheduled = ? AND tries = ? AND state = 'claimed'

-- dynamic_keys: the keys of all dynamic partitions in the order of adding, and whether they are removed
SELECT name, key, removed_at IS NOT NULL FROM dynamic_key ORDER BY name, ord

-- add_dynamic_key: one more key, or one that comes back
INSERT INTO dynamic_key (name, ord, key, added_at)
SELECT ?1, coalesce(max(ord) + 1, 0), ?2, ?3 FROM dynamic_key WHERE name = ?1
ON CONFLICT (name, key) DO UPDATE SET removed_at = NULL WHERE removed_at IS NOT NULL

-- remove_dynamic_key: a key that is none any more
UPDATE dynamic_key SET removed_at = ? WHERE name = ? AND key = ? AND removed_at IS NULL

-- add_backfill: a new backfill
INSERT INTO backfill (env, state, selection, partitions, work, planned, done, failed, started_at, user, host)
VALUES (?, 'running', ?, ?, ?, ?, 0, 0, ?, ?, ?) RETURNING backfill_id

-- backfills: the newest backfills
SELECT backfill_id, env, state, selection, partitions, work, planned, done, failed, started_at, ended_at, user, host
FROM backfill ORDER BY backfill_id DESC LIMIT ?

-- backfill: one backfill
SELECT backfill_id, env, state, selection, partitions, work, planned, done, failed, started_at, ended_at, user, host
FROM backfill WHERE backfill_id = ?

-- backfill_counts: how far a backfill is
UPDATE backfill SET planned = ?, done = ?, failed = ? WHERE backfill_id = ?

-- end_backfill: how a running backfill ended; one that somebody paused stays paused, unless it is done
UPDATE backfill SET state = ?1, ended_at = ?2 WHERE backfill_id = ?3 AND (state = 'running' OR ?1 = 'done')

-- resume_backfill: it runs again
UPDATE backfill SET state = 'running', ended_at = NULL WHERE backfill_id = ?

-- runs_of: the runs with this cause, oldest first
SELECT run_id FROM run WHERE cause = ? ORDER BY run_id

-- open_alerts: what is wrong now, oldest first
SELECT alert_id, key, event, env, subject, title, opened_at, seen_at, seen, run_id, facts, assets, slots, closed_at, how
FROM alert WHERE closed_at IS NULL ORDER BY opened_at, key

-- alerts: the newest alerts, newest first
SELECT alert_id, key, event, env, subject, title, opened_at, seen_at, seen, run_id, facts, assets, slots, closed_at, how
FROM alert ORDER BY opened_at DESC, key LIMIT ?

-- put_alert: an alert as it is now
INSERT INTO alert (alert_id, key, event, env, subject, title, opened_at, seen_at, seen, run_id, facts, assets, slots,
    closed_at, how)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (alert_id) DO UPDATE SET title = excluded.title, seen_at = excluded.seen_at, seen = excluded.seen,
    run_id = excluded.run_id, facts = excluded.facts, assets = excluded.assets, slots = excluded.slots,
    closed_at = excluded.closed_at, how = excluded.how

-- forget_messages: the messages of alerts that were over before a time
DELETE FROM outbox WHERE alert_id IN (SELECT alert_id FROM alert WHERE closed_at < ?) AND state <> 'waiting'

-- forget_alerts: the alerts that were over before a time, and of which nothing is left to be told
DELETE FROM alert WHERE closed_at < ? AND alert_id NOT IN (SELECT alert_id FROM outbox)

-- put_message: a message that is to be sent
INSERT INTO outbox (message_id, alert_id, channel, kind, document, created_at, due_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (message_id) DO NOTHING

-- messages_of: what was and is to be told of an alert, oldest first
SELECT message_id, alert_id, channel, kind, document, created_at, due_at, state, tries, error, sent_at
FROM outbox WHERE alert_id = ? ORDER BY created_at, message_id

-- waiting_messages: what is to be sent, in the order in which it is due
SELECT message_id, alert_id, channel, kind, document, created_at, due_at, state, tries, error, sent_at
FROM outbox WHERE state = 'waiting' ORDER BY due_at, created_at, message_id

-- last_messages: of each channel the message that was sent last
SELECT message_id, alert_id, channel, kind, document, created_at, due_at, state, tries, error, max(sent_at)
FROM outbox WHERE sent_at IS NOT NULL GROUP BY channel

-- end_message: a message that waits waits no longer
UPDATE outbox SET state = ?, tries = tries + ?, error = ?, sent_at = ? WHERE message_id = ? AND state = 'waiting'

-- put_off_message: a message that could not be sent is due again later
UPDATE outbox SET tries = tries + 1, error = ?, due_at = ? WHERE message_id = ? AND state = 'waiting'

-- sensors: how far each sensor got
SELECT name, cursor, looks, looked_at, paused_at, paused_by FROM sensor

-- put_sensor: a sensor that is new, or was paused, or goes on
INSERT INTO sensor (name, cursor, looks, looked_at, paused_at, paused_by) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, paused_by = excluded.paused_by

-- note_look: a sensor has looked and is where it was, unless another process has looked since
UPDATE sensor SET looks = looks + 1, looked_at = ? WHERE name = ? AND looks = ? AND paused_at IS NULL

-- move_cursor: a sensor has looked and got further, unless another process has looked since
UPDATE sensor SET looks = looks + 1, looked_at = ?, cursor = ? WHERE name = ? AND looks = ? AND paused_at IS NULL

-- last_look: the newest look of a sensor
SELECT sensor, number, state, at, last_at, count, requests, repeated, note, traceback FROM look
WHERE sensor = ? ORDER BY number DESC LIMIT 1

-- last_looks: the newest look of every sensor
SELECT l.sensor, l.number, l.state, l.at, l.last_at, l.count, l.requests, l.repeated, l.note, l.traceback
FROM sensor s JOIN look l ON l.sensor = s.name AND l.number = (SELECT max(number) FROM look WHERE sensor = s.name)

-- looks_of: the newest looks of a sensor
SELECT sensor, number, state, at, last_at, count, requests, repeated, note, traceback FROM look
WHERE sensor = ? ORDER BY number DESC LIMIT ?

-- add_look: what came of a look
INSERT INTO look (sensor, number, state, at, last_at, count, requests, repeated, note, traceback)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- forget_looks: those of a sensor that so many newer ones have come after
DELETE FROM look WHERE sensor = ?1
    AND number < (SELECT number FROM look WHERE sensor = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)

-- look_again: one more look that found the same
UPDATE look SET last_at = ?, count = count + 1 WHERE sensor = ? AND number = ?

-- add_request: a run that is asked for, unless the sensor has used its key before
INSERT INTO request (sensor, kind, key, env, asked, asked_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (sensor, key) WHERE key IS NOT NULL DO NOTHING

-- open_requests: the requests that wait or run, in order
SELECT request_id, sensor, kind, key, env, asked, asked_at, state, note, run_id, tries, claimed_at, ended_at
FROM request WHERE state IN ('queued', 'claimed') ORDER BY request_id

-- requests_of: the newest requests of a sensor
SELECT request_id, sensor, kind, key, env, asked, asked_at, state, note, run_id, tries, claimed_at, ended_at
FROM request WHERE sensor = ? ORDER BY request_id DESC LIMIT ?

-- last_requests: of each sensor the newest request that somebody took up
SELECT r.request_id, r.sensor, r.kind, r.key, r.env, r.asked, r.asked_at, r.state, r.note, r.run_id, r.tries,
       r.claimed_at, r.ended_at
FROM sensor s JOIN request r ON r.request_id = (
    SELECT request_id FROM request WHERE sensor = s.name AND state <> 'queued' ORDER BY request_id DESC LIMIT 1
)

-- claim_request: take up a request, for the first time or because who took it up died before its run began
UPDATE request SET state = 'claimed', tries = tries + 1, claimed_at = ?
WHERE request_id = ? AND (state = 'queued' OR (state = 'claimed' AND run_id IS NULL)) RETURNING tries

-- request_begins: the run that a request became
UPDATE request SET run_id = ? WHERE request_id = ? AND tries = ? AND state = 'claimed' AND run_id IS NULL

-- end_request: what became of a request that somebody had taken up
UPDATE request SET state = ?, note = ?, ended_at = ? WHERE request_id = ? AND tries = ? AND state = 'claimed'

-- contents: the content of what is current of these assets (a JSON list of keys) in an environment, in order
SELECT a.key, p.key, v.data_hash FROM head h
JOIN env e USING (env_id) JOIN asset a ON a.asset_id = h.asset_id JOIN part p ON p.part_id = h.part_id
JOIN trace t ON t.trace_id = h.trace_id JOIN version v USING (version_id)
WHERE e.name = ? AND a.key IN (SELECT value FROM json_each(?)) ORDER BY a.key, p.key
