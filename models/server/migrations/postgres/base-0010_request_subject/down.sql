DROP INDEX request_subject;
