-- What repeated requests would be answered, by age: it is forgotten after a day.
CREATE INDEX request_answered ON request (at) WHERE answer IS NOT NULL;
