"""A hospital with a cohort, a rule and an index of releases, and a data scientist who asks it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedvoxel.config import parse_config
from fedvoxel.errors import JobError
from fedvoxel.export.package import Package
from fedvoxel.export.publishing import Publisher
from fedvoxel.export.trust import Trust
from fedvoxel.governance.evaluation_request import EvaluationRequest, new_id, request_file
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.datasite.box import Letter
from fedvoxel.ops.datasite.desk import Desk
from fedvoxel.records.atomic import write_json
from fedvoxel.records.identity import Identity
from tests.approval_kits import NOW, PHYSICIAN, SCIENTIST, Hospital
from tests.evaluation.judgement.made_up import package, right_scans, write_site

OPEN = {"unit": "none", "evaluations": {"minimum_patients": 5}}


class AskedHospital:
    """Is a hospital that lets aggregates on its cohort `brains` leave, and whose people have kits."""

    def __init__(self, folder: Path, scans: int = 6) -> None:
        self.folder, self.people = folder, Hospital(folder)
        self.physician, self.scientist = self.people.person(), self.people.person(SCIENTIST, "consortium")
        write_site(folder / "scans", right_scans(scans), one_scan_per_patient=True)
        for name in ("brains.csv", "fedvoxel_site.json"):
            shutil.copy(folder / "scans" / "local" / name, self.kit.local / name)
        self.policy(OPEN)
        self.lead = self.people.root.issue(begins=NOW, ends=datetime.max.replace(year=2100, tzinfo=UTC))
        self.package = package(folder, identity=self.lead, now=NOW)
        self.index = folder / "releases"
        self.publisher.publish(self.package.path, "candidate", "to be evaluated", datetime.now(UTC))

    @property
    def kit(self) -> Kit:
        return self.people.kit

    @property
    def publisher(self) -> Publisher:
        return Publisher(self.index, self.lead, Trust(self.people.root.certificate), self.folder / "lead.json")

    def policy(self, entry: dict[str, Any]) -> None:
        """Writes what the hospital has decided about its cohort."""
        write_json(self.kit.local / "fedvoxel_privacy.json", {"schema_version": 1, "cohorts": {"brains": entry}})

    def leave_out(self, count: int) -> None:
        """Takes the last scans from the cohort's list."""
        table = self.kit.local / "brains.csv"
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:-count]))

    def withdraw(self) -> None:
        self.publisher.set_state("hippocampus", "1.0.0", "withdrawn", "misses small ones", datetime.now(UTC))


def request_values(made: Package, **changes: Any) -> dict[str, Any]:
    values = {"id": new_id(), "site": "hospital-a", "package": made.sha256, "model": "hippocampus", "version": "1.0.0"}
    return {**values, "cohort": "brains", "split": "test", "metrics": ["dice"], "purpose": "a comparison"} | changes


def asked_file(hospital: AskedHospital, by: Identity | None = None, **changes: Any) -> bytes:
    """A request's file, signed by the scientist if nobody else is named."""
    request = parse_config(EvaluationRequest, request_values(hospital.package, **changes), "the request")
    return request_file(request, by or hospital.scientist, datetime.now(UTC))


@dataclass
class FakeBox:
    """Is a box without Syft: what lies in it, what was handed over."""

    lying: list[Letter] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    broken: bool = False

    def put(self, file: bytes, job: str = "evaluation", sender: str = SCIENTIST) -> None:
        kept = [one for one in self.lying if one.job != job]
        self.lying = [*kept, Letter(job, sender, "pending", file, 0)]

    def letters(self, datasite: str, sender: str | None = None) -> list[Letter]:
        return list(self.lying)

    def hand_over(self, letter: Letter, answer: bytes) -> None:
        if self.broken:
            raise JobError("the share is away")
        self.answers[letter.job] = answer
        self.set(letter.job, "done")

    def reject(self, letter: Letter) -> None:
        self.set(letter.job, "rejected")

    def answer_to(self, letter: Letter, datasite: str) -> bytes | None:
        return self.answers.get(letter.job)

    def set(self, job: str, status: str) -> None:
        self.lying = [replace(one, status=status) if one.job == job else one for one in self.lying]


def desk_of(hospital: AskedHospital, box: FakeBox) -> Desk:
    return Desk(hospital.kit, box, "datasite@hospital-a")  # type: ignore[arg-type]


@contextmanager
def no_progress() -> Iterator[Any]:
    yield lambda done, total: None


def answer_of(file: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(file)["answer"]
    return said


__all__ = ["OPEN", "PHYSICIAN", "SCIENTIST", "AskedHospital", "FakeBox"]
