DROP INDEX instance_node;
CREATE INDEX instance_node ON instance (node_id, id);
