DROP TABLE plan_secret;
DROP INDEX claim_held;
ALTER TABLE claim DROP COLUMN placement;
ALTER TABLE claim DROP COLUMN held_by;
DROP INDEX instance_plan;
ALTER TABLE instance DROP COLUMN placement;
ALTER TABLE instance DROP COLUMN touched;
ALTER TABLE instance DROP COLUMN plan_id;
DROP TABLE launchplan;
