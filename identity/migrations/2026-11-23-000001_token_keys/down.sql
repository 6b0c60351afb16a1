DROP TABLE tokenkey;
