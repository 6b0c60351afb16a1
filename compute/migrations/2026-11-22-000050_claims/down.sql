DROP INDEX claim_node;
CREATE INDEX claim_node ON claim (node_id);
