-- What the compute processes of a site know together of their nodes: the latest report that was taken over, and a count
-- that grows while a node calls any of them.
CREATE TABLE node_presence (
    node_id uuid PRIMARY KEY NOT NULL,
    boot_id uuid,
    sequence bigint NOT NULL,
    beats bigint NOT NULL
);
