"""What a server that was put back from a backup does not go on with: runs and jobs that had not ended in it.

They may have gone on after the backup. What the server received and released then it does not know, and noise drawn
twice on the same updates tells more than was charged. So such a run is not gone on with, whoever submits its job, and
no job of the backup is started by itself.
"""

from pathlib import Path

from fedvoxel.records.atomic import write_text

RESTORED_MARK = "restored.txt"
"""Lies in each run's journal, and in the state of a server that has not been started since."""

_RUN_NOTE = """\
This run's journal was put back from a backup of {created}. Unless the run had ended by then, the server does not go on
with it: what it received and released after that moment it does not know. Give its job another run_key.

Only if you know that nothing of this run was received or released after that moment, because the server was stopped
then and nobody has started it since, delete this file before you start the server: the run goes on by itself.
"""
_JOBS_NOTE = """\
This server was put back from a backup of {created}. When it is started, it ends the jobs that ran or waited then, and
deletes this file.
"""


def mark_runs(kit: Path, created: str) -> None:
    """Marks the runs and jobs of a server's kit that was put back; a site's has none."""
    for journal in kit.glob("state/runs/*/journal/"):
        write_text(journal / RESTORED_MARK, _RUN_NOTE.format(created=created), 0o600)
    if (kit / "state" / "jobs").is_dir():
        write_text(kit / "state" / RESTORED_MARK, _JOBS_NOTE.format(created=created), 0o600)
