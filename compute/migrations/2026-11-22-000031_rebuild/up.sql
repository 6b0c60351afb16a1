ALTER TABLE instance ADD COLUMN root_generation bigint NOT NULL DEFAULT 0;
