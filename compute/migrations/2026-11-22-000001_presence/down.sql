DROP TABLE node_presence;
