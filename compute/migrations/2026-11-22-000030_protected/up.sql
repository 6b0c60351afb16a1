ALTER TABLE instance ADD COLUMN protected boolean NOT NULL DEFAULT false;
