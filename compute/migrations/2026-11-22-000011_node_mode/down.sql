ALTER TABLE node ADD COLUMN schedulable boolean NOT NULL DEFAULT TRUE;
UPDATE node SET schedulable = FALSE WHERE mode <> 'active';
DROP INDEX node_mode;
ALTER TABLE node DROP COLUMN mode;
CREATE INDEX node_schedulable ON node (schedulable);
