"""The page of a quarter's report."""
