-- What a node holds, and what of it it has not followed, is asked by each of its polls: the index answers that alone, without the
-- rows, which are much wider.
DROP INDEX instance_node;
CREATE INDEX instance_node ON instance (node_id, id, deleted_at, generation, observed_generation);
