CREATE TABLE harbour (
    id UUID PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    open BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    labels JSONB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX harbour_unique ON harbour (name) WHERE deleted_at IS NULL;
CREATE INDEX harbour_name ON harbour (name);

CREATE TABLE boat (
    id UUID PRIMARY KEY NOT NULL,
    project_id UUID NOT NULL,
    name TEXT NOT NULL,
    harbour_id UUID REFERENCES harbour (id),
    colour TEXT NOT NULL,
    note TEXT,
    crew JSONB,
    load_mib BIGINT NOT NULL,
    due_at TIMESTAMPTZ,
    afloat BOOLEAN NOT NULL,
    generation BIGINT NOT NULL,
    observed_generation BIGINT NOT NULL,
    status TEXT NOT NULL,
    node_id UUID,
    version BIGINT NOT NULL,
    labels JSONB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX boat_unique ON boat (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX boat_name ON boat (project_id, name);
CREATE INDEX boat_harbour_id ON boat (harbour_id);
CREATE INDEX boat_colour ON boat (project_id, colour);
CREATE INDEX boat_status ON boat (status);
CREATE INDEX boat_node_id ON boat (node_id);

CREATE TABLE chart (
    id UUID PRIMARY KEY NOT NULL,
    project_id UUID NOT NULL,
    name TEXT NOT NULL,
    public BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    labels JSONB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX chart_unique ON chart (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX chart_name ON chart (project_id, name);
CREATE INDEX chart_public ON chart (public);

CREATE TABLE badge (
    id UUID PRIMARY KEY NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    labels JSONB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX badge_unique ON badge (user_id, name) WHERE deleted_at IS NULL;
CREATE INDEX badge_user_id ON badge (user_id);
CREATE INDEX badge_name ON badge (name);
