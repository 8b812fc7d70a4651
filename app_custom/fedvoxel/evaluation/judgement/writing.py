"""Writes a judgement: a page, the same on paper and as JSON, and what of it may be handed on."""

from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.cohorts.private_folder import OWNER_ONLY_FILE, private_folder
from fedvoxel.evaluation.judgement.judgement import Judgement
from fedvoxel.evaluation.judgement.judgement_page import Views, render_judgement
from fedvoxel.evaluation.judgement.paper import check_paper, pdf_of
from fedvoxel.evaluation.judgement.sharing import shareable
from fedvoxel.records.atomic import write_bytes, write_json, write_text

PAGE, PAPER, WHOLE, SHARED = "evaluation.html", "evaluation.pdf", "evaluation.json", "to_share.json"


@dataclass(frozen=True)
class Written:
    """Is where the files are; paper is None where it was not asked for."""

    page: Path
    paper: Path | None
    whole: Path
    shared: Path


def prepare(folder: Path, on_paper: bool) -> Path:
    """Returns the folder, made if it is not there: what would fail at the end is found out before the work.

    Raises:
        CohortError: Others may enter the folder, or it cannot be used.
        ConfigError: The PDF cannot be made here.
    """
    if on_paper:
        check_paper()
    return private_folder(folder)


def write_judgement(judgement: Judgement, views: Views, folder: Path, on_paper: bool = True) -> Written:
    """Writes the files, readable by their owner, into a folder of `prepare`.

    All is made before anything is written, and each file is replaced as a whole.

    Raises:
        ConfigError: A file cannot be written, or the PDF cannot be made here.
    """
    page = render_judgement(judgement, views)
    paper = pdf_of(page) if on_paper else None
    written = Written(folder / PAGE, folder / PAPER if paper else None, folder / WHOLE, folder / SHARED)
    try:
        write_json(written.whole, judgement.model_dump(mode="json"), OWNER_ONLY_FILE)
        write_json(written.shared, shareable(judgement), OWNER_ONLY_FILE)
        if paper is not None:
            write_bytes(folder / PAPER, paper, OWNER_ONLY_FILE)
        write_text(written.page, page, OWNER_ONLY_FILE)
    except OSError as error:
        raise ConfigError(f"the evaluation cannot be written: {error.strerror}; choose another --out") from None
    return written
