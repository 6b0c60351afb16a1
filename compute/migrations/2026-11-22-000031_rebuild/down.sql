ALTER TABLE instance DROP COLUMN root_generation;
