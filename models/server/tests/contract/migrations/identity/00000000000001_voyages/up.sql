CREATE TABLE voyage (
    id UUID PRIMARY KEY NOT NULL,
    project_id UUID NOT NULL,
    boat_id UUID NOT NULL,
    version BIGINT NOT NULL,
    labels JSONB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ
);
CREATE INDEX voyage_project_id ON voyage (project_id);
