-- Deferred work, enqueued in the transaction of its cause. `due` says, in microseconds after 1970, from when a waiting
-- job may be taken, and until when a running one is leased to its worker.
CREATE TABLE job (
    id UUID PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    project_id UUID,
    request_id TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due BIGINT NOT NULL,
    lease UUID,
    error TEXT,
    enqueued_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX job_due ON job (state, due);
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;
