-- Version 5: what functions opened and ran while they made a version, beside what their definition says.
ALTER TABLE trace ADD COLUMN discovered TEXT NOT NULL DEFAULT '{}';
