CREATE TABLE "group" (
    id uuid PRIMARY KEY NOT NULL,
    name text NOT NULL,
    description text,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX group_name ON "group" (name) WHERE deleted_at IS NULL;
CREATE INDEX group_by_name ON "group" (name);

CREATE TABLE groupmember (
    id uuid PRIMARY KEY NOT NULL,
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX groupmember_once ON groupmember (group_id, user_id) WHERE deleted_at IS NULL;
CREATE INDEX groupmember_by_group ON groupmember (group_id);
CREATE INDEX groupmember_by_user ON groupmember (user_id);

-- A grant is a user's or a group's: one of the two is null. SQLite can't make a column nullable, so the table is made
-- anew; PostgreSQL is treated alike.
CREATE TABLE grant_new (
    id uuid PRIMARY KEY NOT NULL,
    user_id uuid,
    group_id uuid,
    project_id uuid,
    role text NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
INSERT INTO grant_new
    SELECT id, user_id, NULL, project_id, role, version, labels, created_by, created_at, updated_at, deleted_at
    FROM "grant";
DROP TABLE "grant";
ALTER TABLE grant_new RENAME TO "grant";
-- a site grant has no project, and null is never equal to null
CREATE UNIQUE INDEX grant_project ON "grant" (user_id, project_id, role) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX grant_site ON "grant" (user_id, role) WHERE deleted_at IS NULL AND project_id IS NULL;
CREATE UNIQUE INDEX grant_group_project ON "grant" (group_id, project_id, role) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX grant_group_site ON "grant" (group_id, role) WHERE deleted_at IS NULL AND project_id IS NULL;
CREATE INDEX grant_by_user ON "grant" (user_id);
CREATE INDEX grant_by_group ON "grant" (group_id);
CREATE INDEX grant_by_project ON "grant" (project_id);
CREATE INDEX grant_by_role ON "grant" (role);
