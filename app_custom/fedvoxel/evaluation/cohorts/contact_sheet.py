"""Makes a cohort's contact sheet: every case as a radiologist would look at it, and what to look at first.

It shows patients. It is written for the hospital's own people, readable by its owner only, and nothing here sends it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.evaluation.cohorts.case_card import CaseCard
from fedvoxel.evaluation.cohorts.cautions import cautions, common_borders
from fedvoxel.evaluation.cohorts.drawing import CardOrder, draw_cards, remove_others
from fedvoxel.evaluation.cohorts.known_facts import known_facts
from fedvoxel.evaluation.cohorts.private_folder import OWNER_ONLY_FILE, private_folder
from fedvoxel.records.atomic import write_bytes, write_text
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.refusal import Refusal
from fedvoxel.volumes.sidecar import Sidecar
from fedvoxel.volumes.site import CohortConfig, SiteConfig
from fedvoxel.volumes.split import SPLITS, Split, split_of

PAGE_NAME = "contact_sheet.html"
_CARDS = "cards"


@dataclass(frozen=True)
class Selection:
    """Says which cases of a cohort are shown: of one split or of all, and at most how many, by pseudonym."""

    split: Split | None = None
    cases: int | None = None


@dataclass(frozen=True)
class ContactSheet:
    """Is what is shown of a cohort.

    Attributes:
        cohort: The cohort's name.
        classes: The classes in the order of their outlines' colours.
        cards: One per usable case, by pseudonym.
        cautions: What to look at first, by case.
        notes: What is so in most of the cases.
        refused: The cases that cannot be used.
        listed: How many cases the cohort lists.
    """

    cohort: str
    classes: tuple[str, ...]
    cards: tuple[CaseCard, ...]
    cautions: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    refused: tuple[Refusal, ...]
    listed: int

    @property
    def cases_per_split(self) -> dict[Split, int]:
        """Returns how many cards there are of each split, zeros included."""
        counts = Counter(card.split for card in self.cards)
        return {split: counts[split] for split in SPLITS}

    @property
    def scans_of_patient(self) -> Mapping[str, int]:
        """Returns how many cards there are of each patient."""
        return Counter(card.patient for card in self.cards)


@dataclass(frozen=True)
class SheetPaths:
    """Says where a contact sheet was written."""

    page: Path
    pictures: tuple[Path, ...]


def make_contact_sheet(
    site: SiteConfig,
    cohort_name: str,
    base: Path,
    folder: Path,
    selection: Selection | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ContactSheet:
    """Draws the cards of a cohort's cases, and keeps them in `folder`.

    Args:
        site: The site's own file.
        cohort_name: The cohort.
        base: The folder that relative paths in the site's file count from.
        folder: Where the cards are kept; made with mode 0700.
        selection: Which cases; all by default.
        progress: Called with (done, total) after each case.

    Raises:
        CohortError: The cohort is unknown, cannot be listed, has no such case, or the folder cannot be used.
    """
    chosen = selection or Selection()
    cohort = site.cohort(cohort_name)
    listed = admitted_cases(site, cohort, base)
    orders = _orders(site, cohort, listed, known_facts(cohort, base, listed), chosen)
    if not orders:
        raise CohortError(f"no case to show: the cohort {cohort_name} lists {len(listed)} in all")
    cards_folder = private_folder(folder) / _CARDS
    remove_others(cards_folder, (files.case_pseudonym(site) for files in listed))
    cards, refused = draw_cards(orders, cards_folder, progress)
    return ContactSheet(
        cohort_name, cohort.class_names, cards, cautions(cards), common_borders(cards), refused, len(listed)
    )


def _orders(
    site: SiteConfig,
    cohort: CohortConfig,
    listed: Sequence[CaseFiles],
    facts: Mapping[str, Sidecar],
    chosen: Selection,
) -> list[CardOrder]:
    """Returns the cards to draw, by pseudonym."""
    orders = [
        CardOrder(files, cohort, files.case_pseudonym(site), files.patient_pseudonym(site), split, facts[files.case])
        for files in listed
        if (split := split_of(files.patient, cohort.split)) == (chosen.split or split)
    ]
    return sorted(orders, key=lambda order: order.case)[: chosen.cases]


def write_contact_sheet(sheet: ContactSheet, folder: Path) -> SheetPaths:
    """Writes the page and the pictures, mode 0600, and removes pictures of an earlier, longer sheet.

    Raises:
        CohortError: The folder cannot be used.
    """
    from fedvoxel.evaluation.cohorts.sheet_page import render_sheet
    from fedvoxel.evaluation.cohorts.sheet_picture import sheet_pictures

    private_folder(folder)
    paths = []
    try:
        for number, png in enumerate(sheet_pictures(sheet), start=1):
            paths.append(folder / f"contact_sheet-{number:02d}.png")
            write_bytes(paths[-1], png, OWNER_ONLY_FILE)
        for old in set(folder.glob("contact_sheet-*.png")) - set(paths):
            old.unlink()
        page = folder / PAGE_NAME
        write_text(page, render_sheet(sheet), OWNER_ONLY_FILE)
    except OSError as error:
        raise CohortError(f"the contact sheet cannot be written: {error.strerror}; choose another --out") from None
    return SheetPaths(page, tuple(paths))
