DROP INDEX instance_project;
DROP INDEX instance_image;
DROP INDEX instance_status;
DROP INDEX instance_node;
CREATE INDEX instance_project ON instance (project_id);
CREATE INDEX instance_image ON instance (image_id);
CREATE INDEX instance_status ON instance (status);
CREATE INDEX instance_node ON instance (node_id);
