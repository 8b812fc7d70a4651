"""The gates between a candidate and its release: a policy, stated beforehand, and what hospitals have signed."""
