"""How much memory the server's job process takes for five million parameters, with few sites and with many."""
