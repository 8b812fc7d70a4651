"""Python imports this by itself in every process of the machines under test, whose PYTHONPATH names this folder."""

import os

if os.environ.get("FEDVOXEL_CHAOS"):
    from benchmarks.chaos.hooks import watch_imports

    watch_imports()
