"""Ground for everything that must survive: atomic files and canonical hashes."""
