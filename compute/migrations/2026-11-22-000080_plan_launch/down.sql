DROP INDEX claim_held_on;
DROP INDEX claim_held;
CREATE INDEX claim_held ON claim (held_by) WHERE held_by IS NOT NULL;
DROP TABLE plan_launch;
