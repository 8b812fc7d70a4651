"""Draws the cards of a cohort on all cores, and keeps each, so that a case that has not changed is drawn once.

A card's inputs are hashed: its files, its sidecar, its split, the cohort's classes and the version of the drawing.
Cards of cases that the cohort no longer lists are removed with the next drawing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import CohortError, GeometryError
from fedvoxel.evaluation.cohorts.all_cores import on_all_cores
from fedvoxel.evaluation.cohorts.case_card import CARD_VERSION, CardSubject, CaseCard, card_of
from fedvoxel.evaluation.cohorts.private_folder import OWNER_ONLY_FILE, private_folder
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_text
from fedvoxel.records.canonical import sha256_of, sha256_of_file
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.refusal import Refusal, refusal_of
from fedvoxel.volumes.sidecar import Sidecar
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.split import Split


@dataclass(frozen=True)
class CardOrder:
    """Says which card to draw: a case's files, and the pseudonyms that it is shown by."""

    files: CaseFiles
    cohort: CohortConfig
    case: str
    patient: str
    split: Split
    facts: Sidecar


def draw_cards(
    orders: Sequence[CardOrder], folder: Path, progress: Callable[[int, int], None] | None = None
) -> tuple[tuple[CaseCard, ...], tuple[Refusal, ...]]:
    """Draws or finds the cards, in `folder`, and returns them in the order asked for, and what is refused.

    Raises:
        CohortError: A process that draws died, or the folder cannot be written.
    """
    private_folder(folder)
    jobs = [(order, folder) for order in orders]
    try:
        refused = [refusal for refusal in on_all_cores(_draw, jobs, progress) if refusal is not None]
    except OSError as error:
        raise CohortError(f"the cards cannot be kept: {error.strerror}; choose another --out") from None
    gone = {refusal.case for refusal in refused}
    cards = (_kept(_path(folder, order.case)) for order in orders if order.case not in gone)
    return tuple(card for card in cards if card is not None), tuple(refused)


def remove_others(folder: Path, listed: Iterable[str]) -> None:
    """Removes the cards of cases that are not among the pseudonyms `listed`."""
    names = {f"{case}.json" for case in listed}
    for path in folder.glob("case-*.json"):
        if path.name not in names:
            path.unlink(missing_ok=True)


def _draw(job: tuple[CardOrder, Path]) -> Refusal | None:
    order, folder = job
    path, classes = _path(folder, order.case), order.cohort.class_names
    try:
        inputs = _inputs(order)
        kept = _kept(path)
        if kept is not None and kept.inputs == inputs:
            return None
        path.unlink(missing_ok=True)
        volume = read_labelled_volume(order.files, order.cohort, classes, order.case)
        card = card_of(volume, CardSubject(order.patient, order.split, classes, order.facts, inputs))
    except GeometryError as error:
        return refusal_of(order.case, error)
    write_text(path, card.model_dump_json(), OWNER_ONLY_FILE)
    return None


def _inputs(order: CardOrder) -> str:
    """Returns the hash of all that a card is made from; a file that is missing or unreadable is one of its kind."""
    paths = [path for path in (order.files.image, *order.files.label) if path is not None]
    cohort = order.cohort
    return sha256_of(
        {
            "version": CARD_VERSION,
            "files": [sha256_of_file(path) if path.is_file() else None for path in paths],
            "problem": order.files.problem,
            "classes": [cohort.class_names, cohort.classes],
            "patient": order.patient,
            "split": order.split,
            "facts": dict(order.facts),
        }
    )


def _kept(path: Path) -> CaseCard | None:
    try:
        return CaseCard.model_validate_json(read_plain(path))
    except (OSError, ValueError):
        return None


def _path(folder: Path, case: str) -> Path:
    return folder / f"{case}.json"
