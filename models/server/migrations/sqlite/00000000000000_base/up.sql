-- What every service's database has beside its models' tables.
CREATE TABLE site (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);

-- The change feed: which row changed, in the order of commits.
CREATE TABLE change (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    xid BIGINT NOT NULL DEFAULT 0,
    model TEXT NOT NULL,
    id BLOB NOT NULL,
    version BIGINT NOT NULL,
    project_id BLOB,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- Every mutating request that had an effect: audit and idempotency in one.
CREATE TABLE request (
    id BLOB PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    principal TEXT NOT NULL,
    project_id BLOB,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    subject_id BLOB,
    request_id TEXT NOT NULL,
    key_hash BLOB,
    body_hash BLOB NOT NULL,
    status BIGINT NOT NULL,
    answer TEXT
);
CREATE UNIQUE INDEX request_key ON request (key_hash) WHERE key_hash IS NOT NULL;
CREATE INDEX request_at ON request (at);

CREATE TABLE label (
    model TEXT NOT NULL,
    id BLOB NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, id, key)
);
CREATE INDEX label_value ON label (model, key, value);

-- What a project has in use, of each resource that its quota limits.
CREATE TABLE quota_usage (
    project_id BLOB NOT NULL,
    resource TEXT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);
