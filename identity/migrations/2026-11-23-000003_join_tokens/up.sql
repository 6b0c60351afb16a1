CREATE TABLE jointoken (
    id uuid PRIMARY KEY NOT NULL,
    name text,
    node_id uuid,
    vcpus bigint,
    memory_mib bigint,
    disk_gib bigint,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX jointoken_by_node ON jointoken (node_id);

-- A record of this service only: the machine that uses a join token, what it offers, and the answer that it was given.
CREATE TABLE join_claim (
    token_id uuid PRIMARY KEY NOT NULL,
    key_hash text NOT NULL,
    offer text NOT NULL,
    certificate text
);
