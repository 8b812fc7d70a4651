"""What it costs to make a volume out of a CT series."""
