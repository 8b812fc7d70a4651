"""How well a run finds out what each hospital contributed, at what cost, and whether it finds a planted bad one."""
