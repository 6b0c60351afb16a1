CREATE TABLE launchplan (
    id uuid PRIMARY KEY NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    groups jsonb NOT NULL,
    relationships jsonb,
    policy text NOT NULL,
    all_or_nothing boolean NOT NULL,
    max_failures bigint,
    max_in_flight bigint,
    expires_at timestamptz,
    intent text NOT NULL,
    generation bigint NOT NULL,
    status text NOT NULL,
    status_reason text,
    held_until timestamptz,
    outlook jsonb,
    progress jsonb,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX launchplan_name ON launchplan (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX launchplan_by_name ON launchplan (name);
CREATE INDEX launchplan_project ON launchplan (project_id);
CREATE INDEX launchplan_status ON launchplan (status);
CREATE INDEX launchplan_expires ON launchplan (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE instance ADD COLUMN plan_id uuid;
ALTER TABLE instance ADD COLUMN touched boolean;
ALTER TABLE instance ADD COLUMN placement jsonb;
CREATE INDEX instance_plan ON instance (plan_id, status);

-- What a plan holds for instances that it may launch: whose id will be the claim's.
ALTER TABLE claim ADD COLUMN held_by uuid;
ALTER TABLE claim ADD COLUMN placement jsonb;
CREATE INDEX claim_held ON claim (held_by) WHERE held_by IS NOT NULL;

-- What the first boots of a plan's instances run: kept while the plan may still launch.
CREATE TABLE plan_secret (plan_id uuid PRIMARY KEY NOT NULL, user_data text NOT NULL);
