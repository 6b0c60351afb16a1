-- What is claimed of each node is summed for every placement: with the amounts in the index the rows need not be read.
DROP INDEX claim_node;
CREATE INDEX claim_node ON claim (node_id, vcpus, memory_mib, disk_gib);
