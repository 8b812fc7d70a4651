"""How much memory the server's job process takes for a model of five million parameters, with few sites and with many."""
