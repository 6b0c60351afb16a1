ALTER TABLE volume ADD COLUMN protected boolean NOT NULL DEFAULT false;
