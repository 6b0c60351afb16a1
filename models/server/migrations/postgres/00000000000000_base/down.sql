DROP TABLE quota_usage; DROP TABLE label; DROP TABLE request; DROP TABLE change; DROP TABLE site;
