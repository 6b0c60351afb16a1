-- What every service's database has beside its models' tables.
CREATE TABLE site (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL);

-- The change feed: which row changed. Read in the order of (xid, seq) and only below the snapshot's xmin, because a
-- later sequence can be committed first.
CREATE TABLE change (
    seq BIGSERIAL PRIMARY KEY NOT NULL,
    xid BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    model TEXT NOT NULL,
    id UUID NOT NULL,
    version BIGINT NOT NULL,
    project_id UUID,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX change_order ON change (xid, seq);

-- Every mutating request that had an effect: audit and idempotency in one.
CREATE TABLE request (
    id UUID PRIMARY KEY NOT NULL,
    at BIGINT NOT NULL,
    principal TEXT NOT NULL,
    project_id UUID,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    subject_id UUID,
    request_id TEXT NOT NULL,
    key_hash BYTEA,
    body_hash BYTEA NOT NULL,
    status BIGINT NOT NULL,
    answer TEXT
);
CREATE UNIQUE INDEX request_key ON request (key_hash) WHERE key_hash IS NOT NULL;
CREATE INDEX request_at ON request (at);

CREATE TABLE label (
    model TEXT NOT NULL,
    id UUID NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, id, key)
);
CREATE INDEX label_value ON label (model, key, value);

-- What a project has in use, of each resource that its quota limits.
CREATE TABLE quota_usage (
    project_id UUID NOT NULL,
    resource TEXT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);
