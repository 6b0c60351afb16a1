ALTER TABLE node DROP COLUMN watchdog_s;
