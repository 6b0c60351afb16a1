-- Every volume file that a node has told that it has, for the audit. At most a row for each node.
CREATE TABLE node_files (node_id uuid PRIMARY KEY NOT NULL, volumes jsonb NOT NULL);
