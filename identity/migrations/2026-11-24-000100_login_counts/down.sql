DROP TABLE login_place;
DROP TABLE login_count;
