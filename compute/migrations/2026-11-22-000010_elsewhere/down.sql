CREATE TABLE tombstones (
    instance_id uuid PRIMARY KEY NOT NULL,
    node_id uuid NOT NULL,
    generation bigint NOT NULL,
    epoch bigint NOT NULL
);
INSERT INTO tombstones (instance_id, node_id, generation, epoch)
    SELECT instance_id, node_id, generation, epoch FROM tombstone AS one WHERE NOT EXISTS (
        SELECT 1 FROM tombstone AS other WHERE other.instance_id = one.instance_id AND other.node_id > one.node_id
    );
DROP TABLE tombstone;
ALTER TABLE tombstones RENAME TO tombstone;
CREATE INDEX tombstone_node ON tombstone (node_id);
ALTER TABLE node DROP COLUMN failing;
DROP INDEX instance_leaving;
ALTER TABLE instance DROP COLUMN ran_at;
ALTER TABLE instance DROP COLUMN leaving_node_id;
