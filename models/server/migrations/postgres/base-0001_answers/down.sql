DROP INDEX request_answered;
