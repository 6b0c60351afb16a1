-- What a node has not finished for too long.
ALTER TABLE node ADD COLUMN stuck jsonb;
