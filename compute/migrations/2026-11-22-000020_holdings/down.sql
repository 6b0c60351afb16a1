DROP TABLE node_holdings;
