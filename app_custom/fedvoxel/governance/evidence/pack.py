"""Writes a pack: inventory, statements, copies, risk map, pages, form, and at the end a signed manifest.

While a pack is written its manifest is not there: a pack that was cut off in the middle verifies as none. The form that
lies in the folder is read, and stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedvoxel import __version__
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.signature import moment, sign, verify
from fedvoxel.export.trust import Trust
from fedvoxel.export.written import text_of_json
from fedvoxel.governance.evidence.artefact import Artefact, Inventory
from fedvoxel.governance.evidence.chai_card import chai_card
from fedvoxel.governance.evidence.checklist import Known
from fedvoxel.governance.evidence.claim_page import claim_draft
from fedvoxel.governance.evidence.collecting import form_entry
from fedvoxel.governance.evidence.datasheet_page import datasheet
from fedvoxel.governance.evidence.form import FORM, form_in, read_form
from fedvoxel.governance.evidence.future_ai_page import future_ai_draft
from fedvoxel.governance.evidence.gdpr_page import gdpr_record
from fedvoxel.governance.evidence.manifest import (
    MANIFEST,
    PURPOSE,
    SIGNATURE,
    PackManifest,
    files_of,
    read_pack_manifest,
)
from fedvoxel.governance.evidence.pccp_page import pccp_draft
from fedvoxel.governance.evidence.risk_map import RiskMap, risk_map
from fedvoxel.governance.evidence.risk_page import risk_page
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.identity import Identity

INVENTORY, RISK_MAP, RISK_PAGE, RECORD, PLAN, CLAIM, FUTURE_AI, CARD = (
    "artefacts.json",
    "nist_ai_rmf.json",
    "nist_ai_rmf.md",
    "gdpr_record.md",
    "pccp_draft.md",
    "claim_draft.md",
    "future_ai_draft.md",
    "chai_model_card.xml",
)
"""The names of a pack's files."""


@dataclass(frozen=True)
class Pack:
    """Is a pack that was written."""

    folder: Path
    inventory: Inventory
    risks: RiskMap
    signed_by: str


def write_pack(subject: Subject, artefacts: Sequence[Artefact], identity: Identity, folder: Path) -> Pack:
    """Writes the pack of a run into a folder that is new or holds a pack.

    Args:
        subject: The run.
        artefacts: What was looked for.
        identity: Who signs, and stands for what is stated in the form.
        folder: Where it goes.

    Raises:
        ConfigError: The folder holds something else, or the form cannot be read.
        PackageError: The signer is not one whose signature counts, or the folder cannot be written.
    """
    before = _made_before(folder)
    form = form_in(folder)
    answers = read_form(form)
    entries = (*(one.entry for one in artefacts), form_entry(form, list(answers)))
    run = subject.outcome
    sites = tuple(sorted(subject.pseudonyms.values(), key=lambda name: int(name.rpartition("-")[2])))
    inventory = Inventory(run_key=run.run_key, job_id=run.job_id, sites=sites, artefacts=entries)
    risks = risk_map(entries)
    contents = {FORM: form, **_statements(artefacts), **_pages(inventory, risks, artefacts, answers)}
    signer = _write(folder, before, contents, (subject, identity))
    return Pack(folder, inventory, risks, signer)


def _statements(artefacts: Sequence[Artefact]) -> dict[str, bytes]:
    there = [one for one in artefacts if one.entry.file]
    return {str(one.entry.file): one.copy if one.copy is not None else text_of_json(one.statement) for one in there}


def _pages(
    inventory: Inventory, risks: RiskMap, artefacts: Sequence[Artefact], answers: dict[str, str]
) -> dict[str, bytes]:
    pages = {RISK_PAGE: risk_page(risks, inventory), RECORD: gdpr_record(artefacts, answers)}
    known = Known(artefacts, answers)
    pages |= {PLAN: pccp_draft(artefacts, answers), CLAIM: claim_draft(known), FUTURE_AI: future_ai_draft(known)}
    pages |= {f"datasheet_{site}.md": datasheet(site, artefacts, answers) for site in inventory.sites}
    made = {name: page.encode() for name, page in pages.items()} | {CARD: chai_card(artefacts, answers)}
    made[INVENTORY] = text_of_json(inventory.model_dump(mode="json"))
    made[RISK_MAP] = text_of_json(risks.model_dump(mode="json"))
    return made


def _made_before(folder: Path) -> set[str]:
    """Returns the files of the pack that lies in a folder, which this one replaces.

    Raises:
        ConfigError: Something else lies there.
    """
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if not there - {FORM}:
        return set()
    try:
        made = set(read_pack_manifest(read_plain(folder / MANIFEST)).files) | {MANIFEST, SIGNATURE}
    except (OSError, PackageError):
        raise ConfigError("--out holds files and no whole pack; name a new folder, and put your form there") from None
    strange = sorted(there - made)
    if strange:
        raise ConfigError(f"--out holds {len(strange)} files that are no part of its pack; name a new folder")
    return made - {FORM}


def _write(folder: Path, before: set[str], contents: dict[str, bytes], whose: tuple[Subject, Identity]) -> str:
    """Writes the files, the manifest last; returns who has signed."""
    subject, identity = whose
    run, now = subject.outcome, subject.now
    said = {"run_key": run.run_key, "job_id": run.job_id, "created": moment(now), "fedvoxel": __version__}
    manifest = PackManifest.model_validate({**said, "files": files_of(contents)})
    signature = sign(identity, PURPOSE, manifest.content, now)
    signer = verify(signature, PURPOSE, manifest.content, Trust(identity.root), now)
    try:
        for name in [SIGNATURE, MANIFEST, *sorted(before - set(contents))]:
            (folder / name).unlink(missing_ok=True)
        for name, content in contents.items():
            if name != FORM or not (folder / FORM).is_file():
                write_bytes(folder / name, content)
        write_bytes(folder / SIGNATURE, canonical_json(signature.model_dump(mode="json")))
        write_bytes(folder / MANIFEST, manifest.content)
    except OSError as error:
        raise PackageError(f"the pack cannot be written ({error.strerror or type(error).__name__})") from None
    return str(signer)
