-- Instances that leave a node for another one.
ALTER TABLE instance ADD COLUMN leaving_node_id uuid;
ALTER TABLE instance ADD COLUMN ran_at timestamptz;
-- Whatever a node has begun may hold something by now.
UPDATE instance SET ran_at = updated_at WHERE status <> 'pending';
CREATE INDEX instance_leaving ON instance (leaving_node_id) WHERE leaving_node_id IS NOT NULL;

ALTER TABLE node ADD COLUMN failing jsonb;

-- An instance may have left several nodes that have not confirmed yet: there is one order for each of them.
CREATE TABLE tombstones (
    instance_id uuid NOT NULL,
    node_id uuid NOT NULL,
    generation bigint NOT NULL,
    epoch bigint NOT NULL,
    PRIMARY KEY (instance_id, node_id)
);
INSERT INTO tombstones (instance_id, node_id, generation, epoch)
    SELECT instance_id, node_id, generation, epoch FROM tombstone;
DROP TABLE tombstone;
ALTER TABLE tombstones RENAME TO tombstone;
CREATE INDEX tombstone_node ON tombstone (node_id);
