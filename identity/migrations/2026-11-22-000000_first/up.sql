-- The type names are PostgreSQL's; SQLite keeps what it is given.
CREATE TABLE "user" (
    id uuid PRIMARY KEY NOT NULL,
    name text NOT NULL,
    full_name text,
    enabled boolean NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX user_name ON "user" (name) WHERE deleted_at IS NULL;
CREATE INDEX user_by_name ON "user" (name);
CREATE INDEX user_enabled ON "user" (enabled);

CREATE TABLE project (
    id uuid PRIMARY KEY NOT NULL,
    name text NOT NULL,
    description text,
    max_instances bigint NOT NULL,
    max_vcpus bigint NOT NULL,
    max_memory_mib bigint NOT NULL,
    max_volumes bigint NOT NULL,
    max_volume_gib bigint NOT NULL,
    max_image_gib bigint NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX project_name ON project (name) WHERE deleted_at IS NULL;
CREATE INDEX project_by_name ON project (name);

CREATE TABLE "grant" (
    id uuid PRIMARY KEY NOT NULL,
    user_id uuid NOT NULL,
    project_id uuid,
    role text NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
-- a site grant has no project, and null is never equal to null
CREATE UNIQUE INDEX grant_project ON "grant" (user_id, project_id, role) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX grant_site ON "grant" (user_id, role) WHERE deleted_at IS NULL AND project_id IS NULL;
CREATE INDEX grant_by_user ON "grant" (user_id);
CREATE INDEX grant_by_project ON "grant" (project_id);
CREATE INDEX grant_by_role ON "grant" (role);

CREATE TABLE apikey (
    id uuid PRIMARY KEY NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    project_id uuid NOT NULL,
    role text NOT NULL,
    expires_at timestamptz NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX apikey_name ON apikey (user_id, name) WHERE deleted_at IS NULL;
CREATE INDEX apikey_by_user ON apikey (user_id);
CREATE INDEX apikey_by_name ON apikey (name);
CREATE INDEX apikey_project ON apikey (project_id);

-- Records of this service only: what may never cross the wire.
CREATE TABLE user_password (user_id uuid PRIMARY KEY NOT NULL, hash text NOT NULL);
CREATE TABLE secret_hash (owner text PRIMARY KEY NOT NULL, hash text NOT NULL, expires_us bigint NOT NULL);
CREATE TABLE signing_key (kid text PRIMARY KEY NOT NULL, secret text NOT NULL, created_us bigint NOT NULL);
CREATE TABLE revocation (root text PRIMARY KEY NOT NULL, until_us bigint NOT NULL);
