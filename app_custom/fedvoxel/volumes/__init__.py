"""Scans and labels as a site holds them: which cases there are, what is usable, and volumes ready for a network."""
