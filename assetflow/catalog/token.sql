-- token: what every transaction changes that counts for what is said of an environment: the journal's count, the moves,
-- the last trace, the last run there and how it stands, how many go on, and when heads were last found current
SELECT (SELECT value FROM counter WHERE name = 'journal'), (SELECT value FROM counter WHERE name = 'seq'),
       t.trace_id, t.input_key, t.finished_at,
       (SELECT json_array(r.run_id, r.state, r.started_at, r.finished_at, r.counts) FROM run r JOIN env e USING (env_id)
        WHERE e.name = ?1 ORDER BY r.run_id DESC LIMIT 1),
       (SELECT count(*) FROM run WHERE state = 'running'), seen.heads, seen.newest, seen.sum
FROM (SELECT max(trace_id) AS last FROM trace) LEFT JOIN trace t ON t.trace_id = last
CROSS JOIN (SELECT count(*) AS heads, max(h.verified_at) AS newest, total(h.verified_at) AS sum
            FROM env e JOIN head h USING (env_id) WHERE e.name = ?1) seen
