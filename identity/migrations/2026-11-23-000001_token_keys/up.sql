-- The public halves become rows of a model. A key without such a row would never end.
DELETE FROM signing_key;
CREATE TABLE tokenkey (
    id uuid PRIMARY KEY NOT NULL,
    kid text NOT NULL,
    public_key text NOT NULL,
    signs_from timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    version bigint NOT NULL,
    labels jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
