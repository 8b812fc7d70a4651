"""The status page: a server's files as every member of the consortium may see them, over mutual TLS, read only."""
