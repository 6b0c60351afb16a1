DROP TABLE voyage;
