-- A page of what a filter finds is read in the order of ids: without the id in its index all that it finds is sorted first.
DROP INDEX instance_project;
DROP INDEX instance_image;
DROP INDEX instance_status;
DROP INDEX instance_node;
CREATE INDEX instance_project ON instance (project_id, id);
CREATE INDEX instance_image ON instance (image_id, id);
CREATE INDEX instance_status ON instance (status, id);
CREATE INDEX instance_node ON instance (node_id, id);
