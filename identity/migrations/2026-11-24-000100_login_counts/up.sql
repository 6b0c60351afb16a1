-- Records of this service only. Failed logins of late, for an account at a place, an account, and a place, under hashes of
-- these; and since when they count.
CREATE TABLE login_count (
    name text PRIMARY KEY NOT NULL,
    failures bigint NOT NULL,
    since_us bigint NOT NULL
);
CREATE INDEX login_count_since ON login_count (since_us);

-- Where accounts were logged in to, and when last.
CREATE TABLE login_place (
    name text PRIMARY KEY NOT NULL,
    at_us bigint NOT NULL
);
CREATE INDEX login_place_at ON login_place (at_us);
