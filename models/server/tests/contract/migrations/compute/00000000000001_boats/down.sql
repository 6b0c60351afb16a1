DROP TABLE badge; DROP TABLE chart; DROP TABLE boat; DROP TABLE harbour;
