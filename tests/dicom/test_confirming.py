"""Nothing is sent under another patient than the PACS has; a PACS that does not have what it took is found out."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from fedvoxel.dicom import confirming
from fedvoxel.dicom.confirming import store_confirmed
from fedvoxel.errors import DicomError
from tests.dicom.conftest import Site


class Forgetful:
    """Takes everything at a real PACS and lets an instance go missing."""

    def __init__(self, pacs: Any, forgets: int) -> None:
        self._pacs, self._forgets, self.asked = pacs, forgets, 0

    def send(self, paths: list[Path]) -> None:
        self._pacs.send(paths)

    def owners(self, study_uid: str) -> frozenset[tuple[str, str]]:
        return frozenset(self._pacs.owners(study_uid))

    def instances(self, *series: str) -> frozenset[str]:
        self.asked += 1
        found = sorted(self._pacs.instances(*series))
        return frozenset(found[self._forgets if self.asked < 3 else 0 :]) if self._forgets < 3 else frozenset()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "_PAUSE_S", 0.0)


@pytest.mark.parametrize("door", ["get", "dicomweb"])
def test_what_is_listed_is_confirmed(site: Site, door: str, head: list[Path]) -> None:
    store_confirmed(site.pacs(door), head[:3], new_study=True)


def test_a_pacs_that_lists_late_is_given_time(site: Site, head: list[Path]) -> None:
    slow: Any = Forgetful(site.pacs("dicomweb"), forgets=1)
    store_confirmed(slow, head[:3], new_study=True)
    assert slow.asked == 3


def test_a_pacs_that_does_not_have_it_is_found_out(site: Site, head: list[Path]) -> None:
    lost: Any = Forgetful(site.pacs("dicomweb"), forgets=3)
    with pytest.raises(DicomError, match="took 3 objects, and does not list 3") as caught:
        store_confirmed(lost, head[:3], new_study=True)
    assert caught.value.reason == "pacs_not_stored"


def changed(path: Path, folder: Path, **header: str) -> Path:
    """A file of the same study whose patient is called otherwise."""
    made = dcmread(path)
    for keyword, value in header.items():
        setattr(made, keyword, value)
    made.save_as(folder / path.name)
    return folder / path.name


def held(site: Site) -> int:
    return len(json.loads(site.orthanc.request("GET", "/instances")))


@pytest.mark.parametrize("door", ["get", "dicomweb"])
@pytest.mark.parametrize(
    ("at_the_pacs", "ours"),
    [
        ({"PatientID": "MERGED-1"}, {}),
        ({"PatientID": ""}, {}),
        ({}, {"PatientID": "MERGED-1"}),
        ({"IssuerOfPatientID": "ONE"}, {"IssuerOfPatientID": "OTHER"}),
    ],
)
def test_nothing_is_sent_under_another_patient_than_the_pacs_has(
    site: Site, head: list[Path], tmp_path: Path, door: str, at_the_pacs: dict[str, str], ours: dict[str, str]
) -> None:
    (tmp_path / "ours").mkdir()
    site.orthanc.store([changed(head[0], tmp_path, **at_the_pacs)])
    paths = [changed(path, tmp_path / "ours", **ours) for path in head[1:3]]
    for new_study in (False, True):
        with pytest.raises(DicomError, match=r"another PatientID .* nothing was sent: fetch the study") as caught:
            store_confirmed(site.pacs(door), paths, new_study)
        assert caught.value.reason == "pacs_other_patient" and "MERGED" not in str(caught.value)
    assert held(site) == 1


@pytest.mark.parametrize("door", ["get", "dicomweb"])
def test_a_study_that_the_pacs_does_not_know_needs_a_word(site: Site, head: list[Path], door: str) -> None:
    with pytest.raises(DicomError, match=r"does not know 1 of .*--new-study") as caught:
        store_confirmed(site.pacs(door), head[:2])
    assert caught.value.reason == "pacs_unknown_study" and held(site) == 0


@pytest.mark.parametrize("door", ["get", "dicomweb"])
def test_the_patient_that_the_pacs_has_gets_the_results(
    site: Site, head: list[Path], tmp_path: Path, door: str
) -> None:
    site.orthanc.store([changed(head[0], tmp_path, IssuerOfPatientID="ONE")])
    store_confirmed(site.pacs(door), head[1:3])  # our files name no issuer
    assert held(site) == 3
