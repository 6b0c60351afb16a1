DROP TABLE revocation;
DROP TABLE signing_key;
DROP TABLE secret_hash;
DROP TABLE user_password;
DROP TABLE apikey;
DROP TABLE "grant";
DROP TABLE project;
DROP TABLE "user";
