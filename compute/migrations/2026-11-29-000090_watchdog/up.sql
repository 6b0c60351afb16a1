-- After how many seconds without a lease a node's watchdog has stopped its guests.
ALTER TABLE node ADD COLUMN watchdog_s bigint;
