DROP TABLE node_files;
