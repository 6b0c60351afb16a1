DROP TABLE revocation;
CREATE TABLE revocation (root text PRIMARY KEY NOT NULL, until_us bigint NOT NULL);
