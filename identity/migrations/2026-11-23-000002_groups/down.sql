-- Grants of groups are lost.
DELETE FROM "grant" WHERE user_id IS NULL;
DROP INDEX grant_group_project;
DROP INDEX grant_group_site;
DROP INDEX grant_by_group;
ALTER TABLE "grant" DROP COLUMN group_id;
DROP TABLE groupmember;
DROP TABLE "group";
