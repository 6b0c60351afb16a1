-- Pools, the volumes in them, and who has them.
CREATE TABLE storagepool (
    id uuid PRIMARY KEY NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    node_id uuid NOT NULL,
    capacity_gib bigint NOT NULL,
    accepting boolean NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX storagepool_unique ON storagepool (name) WHERE deleted_at IS NULL;
-- two pools of one node would be the same directory
CREATE UNIQUE INDEX storagepool_node_id ON storagepool (node_id);
CREATE INDEX storagepool_name ON storagepool (name);
CREATE INDEX storagepool_accepting ON storagepool (accepting);

CREATE TABLE volume (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    size_gib bigint NOT NULL,
    -- a pool can't go while a volume is being placed into it
    pool_id uuid REFERENCES storagepool (id),
    node_id uuid,
    status text NOT NULL,
    status_reason text,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX volume_unique ON volume (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX volume_project_id ON volume (project_id);
CREATE INDEX volume_name ON volume (name);
CREATE INDEX volume_pool_id ON volume (pool_id);
CREATE INDEX volume_node_id ON volume (node_id);
CREATE INDEX volume_status ON volume (status);

CREATE TABLE attachment (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    volume_id uuid NOT NULL REFERENCES volume (id),
    instance_id uuid NOT NULL,
    node_id uuid,
    status text NOT NULL,
    status_reason text,
    device text,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
-- of all rows, not only the live ones: while a disk is being taken away, nobody else may have it
CREATE UNIQUE INDEX attachment_unique ON attachment (volume_id);
CREATE INDEX attachment_project_id ON attachment (project_id);
CREATE INDEX attachment_instance_id ON attachment (instance_id);
CREATE INDEX attachment_node_id ON attachment (node_id);
CREATE INDEX attachment_status ON attachment (status);

-- A record of the owner: the last report of each node that changed something.
CREATE TABLE node_report (
    node_id uuid PRIMARY KEY NOT NULL,
    boot_id uuid NOT NULL,
    sequence bigint NOT NULL
);
