-- All that a node has told that it holds, for the audit: instances with a guest there, and instances with files but no
-- guest. At most a row for each node.
CREATE TABLE node_holdings (
    node_id uuid PRIMARY KEY NOT NULL,
    guests jsonb NOT NULL,
    files jsonb NOT NULL,
    told_at timestamptz NOT NULL
);

-- Earlier releases kept what was asked of an instance after it was gone.
DELETE FROM instanceaction WHERE NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = instanceaction.instance_id);
DELETE FROM consolelog WHERE NOT EXISTS (SELECT 1 FROM instance i WHERE i.id = consolelog.instance_id);
