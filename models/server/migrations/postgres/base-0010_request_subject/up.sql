-- By which request a row was changed last: what goes on because of it is told under the same id.
CREATE INDEX request_subject ON request (subject_id, at) WHERE subject_id IS NOT NULL;
