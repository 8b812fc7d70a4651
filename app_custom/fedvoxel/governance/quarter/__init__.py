"""What a consortium did in a quarter, from the server's audit log and what that names by its hash."""
