ALTER TABLE instance DROP COLUMN protected;
