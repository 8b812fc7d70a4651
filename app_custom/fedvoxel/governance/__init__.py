"""What a site or server may do, and whether its kit says so: read as files, never through FLARE."""
