-- What instances of a large plan are launched with that are still to come, by group, as it was when the plan was accepted.
CREATE TABLE plan_launch (
    plan_id uuid NOT NULL,
    group_index bigint NOT NULL,
    image jsonb NOT NULL,
    ssh_keys jsonb NOT NULL,
    user_data text,
    created_by text NOT NULL,
    PRIMARY KEY (plan_id, group_index)
);

-- What a plan holds becomes instances, some at a time: in their order, or node by node.
DROP INDEX claim_held;
CREATE INDEX claim_held ON claim (held_by, instance_id) WHERE held_by IS NOT NULL;
CREATE INDEX claim_held_on ON claim (held_by, node_id, instance_id) WHERE held_by IS NOT NULL;
