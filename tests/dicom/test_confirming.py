"""A PACS that says stored and does not have it is found out."""

from pathlib import Path
from typing import Any

import pytest

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

    def instances(self, *series: str) -> frozenset[str]:
        self.asked += 1
        found = sorted(self._pacs.instances(*series))
        return frozenset(found[self._forgets if self.asked < 3 else 0 :]) if self._forgets < 3 else frozenset()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "_PAUSE_S", 0.0)


@pytest.mark.parametrize("door", ["get", "dicomweb"])
def test_what_is_listed_is_confirmed(site: Site, door: str, head: list[Path]) -> None:
    store_confirmed(site.pacs(door), head[:3])


def test_a_pacs_that_lists_late_is_given_time(site: Site, head: list[Path]) -> None:
    slow: Any = Forgetful(site.pacs("dicomweb"), forgets=1)
    store_confirmed(slow, head[:3])
    assert slow.asked == 3


def test_a_pacs_that_does_not_have_it_is_found_out(site: Site, head: list[Path]) -> None:
    lost: Any = Forgetful(site.pacs("dicomweb"), forgets=3)
    with pytest.raises(DicomError, match="took 3 objects, and does not list 3") as caught:
        store_confirmed(lost, head[:3])
    assert caught.value.reason == "pacs_not_stored"
