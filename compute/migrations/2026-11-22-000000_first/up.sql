-- The type names are PostgreSQL's; SQLite keeps what it is given.
CREATE TABLE flavor (
    id uuid PRIMARY KEY NOT NULL,
    name text NOT NULL,
    vcpus bigint NOT NULL,
    memory_mib bigint NOT NULL,
    disk_gib bigint NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX flavor_name ON flavor (name) WHERE deleted_at IS NULL;
CREATE INDEX flavor_by_name ON flavor (name);

CREATE TABLE sshkey (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    public_key text NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX sshkey_name ON sshkey (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX sshkey_by_name ON sshkey (name);

CREATE TABLE node (
    id uuid PRIMARY KEY NOT NULL,
    name text NOT NULL,
    vcpus bigint NOT NULL,
    memory_mib bigint NOT NULL,
    disk_gib bigint NOT NULL,
    schedulable boolean NOT NULL,
    status text NOT NULL,
    accelerator text,
    message text,
    agent_version text,
    unclaimed bigint NOT NULL,
    status_since timestamptz,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX node_name ON node (name) WHERE deleted_at IS NULL;
CREATE INDEX node_by_name ON node (name);
CREATE INDEX node_schedulable ON node (schedulable);
CREATE INDEX node_status ON node (status);

CREATE TABLE instance (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    flavor_id uuid NOT NULL,
    image_id uuid NOT NULL,
    ssh_key_ids jsonb,
    power text NOT NULL,
    force_stop boolean,
    generation bigint NOT NULL,
    observed_generation bigint NOT NULL,
    status text NOT NULL,
    status_reason text,
    status_deadline timestamptz,
    address text,
    node_id uuid,
    vcpus bigint NOT NULL,
    memory_mib bigint NOT NULL,
    disk_gib bigint NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX instance_name ON instance (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX instance_by_name ON instance (name);
CREATE INDEX instance_project ON instance (project_id);
CREATE INDEX instance_image ON instance (image_id);
CREATE INDEX instance_status ON instance (status);
CREATE INDEX instance_node ON instance (node_id);
CREATE INDEX instance_deadline ON instance (status_deadline) WHERE status_deadline IS NOT NULL;

CREATE TABLE instanceaction (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    instance_id uuid NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    reason text,
    node_id uuid,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX instanceaction_instance ON instanceaction (instance_id);
CREATE INDEX instanceaction_status ON instanceaction (status);
CREATE INDEX instanceaction_node ON instanceaction (node_id);

CREATE TABLE consolelog (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    instance_id uuid NOT NULL,
    status text NOT NULL,
    reason text,
    text text,
    read_at timestamptz,
    node_id uuid,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX consolelog_instance ON consolelog (instance_id);
CREATE INDEX consolelog_status ON consolelog (status);
CREATE INDEX consolelog_node ON consolelog (node_id);

CREATE TABLE unclaimedguest (
    id uuid PRIMARY KEY NOT NULL,
    node_id uuid NOT NULL,
    instance_id uuid NOT NULL,
    generation bigint NOT NULL,
    name text NOT NULL,
    project_id uuid NOT NULL,
    image_id uuid NOT NULL,
    vcpus bigint NOT NULL,
    memory_mib bigint NOT NULL,
    disk_gib bigint NOT NULL,
    running boolean NOT NULL,
    adopt boolean NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX unclaimedguest_instance ON unclaimedguest (instance_id) WHERE deleted_at IS NULL;
CREATE INDEX unclaimedguest_node ON unclaimedguest (node_id);
CREATE INDEX unclaimedguest_name ON unclaimedguest (name);
CREATE INDEX unclaimedguest_by_instance ON unclaimedguest (instance_id);

-- Records of this service only.
-- What an instance takes from its node: outlives the instance's row until the node has confirmed that it is gone.
CREATE TABLE claim (
    instance_id uuid PRIMARY KEY NOT NULL,
    node_id uuid NOT NULL,
    vcpus bigint NOT NULL,
    memory_mib bigint NOT NULL,
    disk_gib bigint NOT NULL
);
CREATE INDEX claim_node ON claim (node_id);

-- What was decided when an instance was accepted, for its node only: user-data may hold secrets.
CREATE TABLE launch (instance_id uuid PRIMARY KEY NOT NULL, image jsonb NOT NULL, ssh_keys jsonb NOT NULL, user_data text);

-- The order to remove a guest, kept until its node confirms.
CREATE TABLE tombstone (
    instance_id uuid PRIMARY KEY NOT NULL,
    node_id uuid NOT NULL,
    generation bigint NOT NULL,
    epoch bigint NOT NULL
);
CREATE INDEX tombstone_node ON tombstone (node_id);
