ALTER TABLE volume DROP COLUMN protected;
