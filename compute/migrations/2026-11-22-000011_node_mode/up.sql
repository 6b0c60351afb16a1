-- What an operator wants of a node: one word instead of a yes or no.
ALTER TABLE node ADD COLUMN mode text NOT NULL DEFAULT 'active';
UPDATE node SET mode = 'drain' WHERE NOT schedulable;
DROP INDEX node_schedulable;
ALTER TABLE node DROP COLUMN schedulable;
CREATE INDEX node_mode ON node (mode);
