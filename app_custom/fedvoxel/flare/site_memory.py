"""Keeps what a site remembers of a run apart from what another run with the same key has left."""

import json
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.flare.kept_answer import kept_answer_file
from fedvoxel.flare.local_model import local_model_file
from fedvoxel.records.twofold import read_twofold, write_twofold
from fedvoxel.training.round_memory import CARRIED_KINDS, RoundMemory
from fedvoxel.training.site_state import STATE_KINDS, SiteState


def begin_training(folder: Path, cohort: str, run_id: str, task: str) -> None:
    """Drops what another run has left of a cohort's training, when a run trains here for the first time.

    A run may have several jobs, each of which goes on where the one before was interrupted. What says which patients'
    noise was drawn and which rounds went into a secure sum is not touched: it outlives runs.

    Args:
        folder: The run's folder in the site's state.
        cohort: A cohort that the hospital's policy names, which no path can be.
        run_id: The run that asks for a round, as the server names it.
        task: Hash of what the job asks this site to train.

    Raises:
        ConfigError: The run was begun here with another training, or the note of the last run cannot be read.
    """
    note = folder / f"run.{cohort}.json"
    known_run, known_task = _noted(note) if note.is_file() else (None, None)
    if known_run == run_id:
        if known_task != task:
            raise ConfigError("this run was begun here with another training section; give the job a new run_key")
        return
    for kind in STATE_KINDS:
        SiteState(folder, cohort, kind).forget_run()
    for carried in CARRIED_KINDS:
        RoundMemory(folder, cohort, carried).forget()
    local_model_file(folder, cohort).unlink(missing_ok=True)
    kept_answer_file(folder, cohort).unlink(missing_ok=True)
    write_twofold(note, json.dumps({"run": run_id, "task": task}).encode("ascii"))


def _noted(note: Path) -> tuple[str, str]:
    """Returns the run and the task that a note names."""
    try:
        known = json.loads(read_twofold(note))
        return str(known["run"]), str(known["task"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(
            f"the site's note of the run, {note.name} in the run's folder of state/runs/, is damaged, with its copy: "
            "put both back from a backup, or give the job a new run_key"
        ) from None
