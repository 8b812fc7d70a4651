"""The note of what a site has put in place and who had signed it, in the job's own folder, which goes with the job.

A job may run for longer than the certificate lasts that signed it, and than the root lasts that issued that. What is
still the same content needs no signature again.
"""

from pathlib import Path
from typing import Literal

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.records.atomic import write_json
from fedvoxel.records.names import Sha256

_FILE = "fedvoxel_taken.json"


class TakenJob(FrozenModel):
    """Is the note.

    Attributes:
        content: The hash of all that would run, a `Submission.sha256`.
        submitter: Who has signed that, by the certificate's name; empty where nobody has.
    """

    schema_version: Literal[1] = 1
    content: Sha256
    submitter: str


def note_taken(run_folder: Path, taken: TakenJob) -> None:
    """Writes the note into the folder that FLARE has made for the job.

    Raises:
        OSError: It cannot be written.
    """
    write_json(run_folder / _FILE, taken.model_dump(mode="json"), mode=0o600)


def signed_by(run_folder: Path, content: str) -> str | None:
    """Returns who had signed a content when it was put in place, empty where nobody had; None where that is not known.

    A damaged note says nothing: the job is then judged by its signature.
    """
    try:
        taken = load_json_config(TakenJob, run_folder / _FILE, "the note of the job that was taken")
    except ConfigError:
        return None
    return taken.submitter if taken.content == content else None
