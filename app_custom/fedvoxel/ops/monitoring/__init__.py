"""A kit's state as metrics for Prometheus, read from its files: nothing in FLARE's processes is asked or changed."""
