DROP TABLE upload;
DROP TABLE machineimage;
