"""What travels between a site and the server: named float32 arrays, their layout, and the checks on both sides."""
