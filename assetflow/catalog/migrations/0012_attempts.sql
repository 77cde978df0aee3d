-- Version 12: the attempts that neither made nor kept a version, to be found among very many that did.
CREATE INDEX attempt_in_vain ON attempt (state)
WHERE state NOT IN ('materialized', 'unchanged', 'linked', 'cut_off');
