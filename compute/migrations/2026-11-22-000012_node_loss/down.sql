ALTER TABLE instance DROP COLUMN on_node_loss;
