DROP TABLE node_report;
DROP TABLE attachment;
DROP TABLE volume;
DROP TABLE storagepool;
