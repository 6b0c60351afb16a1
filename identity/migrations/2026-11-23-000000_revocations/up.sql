-- Revocations become rows of a model, which other services follow. What was revoked before can't be taken over without
-- an id, so the tokens themselves end: without the key that signed them none is good.
DROP TABLE revocation;
DELETE FROM signing_key;
CREATE TABLE revocation (
    id uuid PRIMARY KEY NOT NULL,
    subject text NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX revocation_by_subject ON revocation (subject);
