"""Makes what travels between server and sites smaller, and counts its bytes exactly."""
