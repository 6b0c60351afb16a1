-- What becomes of an instance when its node is lost.
ALTER TABLE instance ADD COLUMN on_node_loss text NOT NULL DEFAULT 'stay';
