"""Watches and operates runs: what a person or a tracker needs to know while a job is under way."""
