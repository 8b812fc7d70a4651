"""What a consortium survives: seeded faults on real processes in network namespaces of their own."""
