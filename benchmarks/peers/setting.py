"""What a system's driver is told, and what it answers: JSON files, since Flower's runs in another environment."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.records.atomic import write_json


@dataclass(frozen=True)
class Setting:
    """Says what to train, and where.

    Attributes:
        task: The job's task.
        site_files: Each site's own description of its cohort.
        rounds: Rounds of training.
        initial: The first model, `.npz`, the same for all systems.
        model: Where the driver puts the last model, `.npz`.
        folder: The system's own folder.
        more: What one system needs beyond that.
    """

    task: dict[str, Any]
    site_files: dict[str, str]
    rounds: int
    initial: str
    model: str
    folder: str
    more: dict[str, Any]

    def write(self) -> Path:
        """Writes the setting into the system's folder and returns the file."""
        file = Path(self.folder) / "setting.json"
        write_json(file, asdict(self))
        return file


@dataclass(frozen=True)
class Answer:
    """Says when it happened, in seconds since 1970.

    Attributes:
        submitted: The work was handed over to a system that was up and waiting, or that starts now.
        modelled: The last model was there, with every hospital's scores made.
        finished: The system told the submitter that it is done.
    """

    submitted: float
    modelled: float
    finished: float


def read_setting(file: Path) -> Setting:
    """Reads what `Setting.write` wrote."""
    return Setting(**read_json(file, "a system's setting"))


def write_answer(file: Path, answer: Answer) -> None:
    """Writes a driver's answer."""
    write_json(file, asdict(answer))


def read_answer(file: Path) -> Answer:
    """Reads a driver's answer."""
    return Answer(**read_json(file, "a system's answer"))
