-- Images, and the uploads under way.
CREATE TABLE machineimage (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    format text NOT NULL,
    public boolean NOT NULL,
    size_bytes bigint,
    sha256 text,
    virtual_bytes bigint,
    status text NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX machineimage_unique ON machineimage (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX machineimage_project_id ON machineimage (project_id);
CREATE INDEX machineimage_name ON machineimage (name);
CREATE INDEX machineimage_public ON machineimage (public);
CREATE INDEX machineimage_status ON machineimage (status);

-- A record of the owner: who receives the bytes of an image just now, and how much of its project's quota is set aside
-- for them. It lasts only while it is renewed, so that what a killed process set aside comes back.
CREATE TABLE upload (
    image_id uuid PRIMARY KEY NOT NULL,
    lease uuid NOT NULL,
    project_id uuid NOT NULL,
    bytes bigint NOT NULL,
    until timestamptz NOT NULL
);
