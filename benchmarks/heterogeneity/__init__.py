"""Does federated training work when scanners and populations differ, and which algorithm should one start with."""
