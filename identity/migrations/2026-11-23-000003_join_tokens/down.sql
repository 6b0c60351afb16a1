DROP TABLE join_claim;
DROP TABLE jointoken;
