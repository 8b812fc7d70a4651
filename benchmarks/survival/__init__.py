"""Everything that is asked of it under faults, strangers, bad inputs and long runs, in one table."""
