-- Version 7: what moved since a commit, and what has no bytes, is found without a look at every partition.
CREATE INDEX version_gone ON version (state) WHERE state <> 'live';
CREATE INDEX head_by_seq ON head (env_id, seq);
