"""Nothing that identifies a patient is logged, warned of, shown or said in an error while a PACS is talked to."""

import logging
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pynetdicom
import pytest
from pynetdicom import _config

from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.query import FoundSeries, SeriesQuery
from fedvoxel.errors import DicomError
from tests.dicom.conftest import Site


@pytest.fixture
def talkative() -> Iterator[None]:
    """Whatever a person may have switched on to look into a problem."""
    pynetdicom.debug_logger()
    _config.LOG_HANDLER_LEVEL = "standard"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = True
    for name in ("urllib3", "dicomweb_client", "requests", "retrying", "pydicom"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    logging.getLogger("pynetdicom").handlers.clear()


def identifiers(path: Path) -> list[str]:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    named = (header.PatientID, str(header.PatientName), header.StudyInstanceUID, header.SeriesInstanceUID)
    return [*named, header.SOPInstanceUID, "HippoCrop"]


@pytest.mark.parametrize("door", ["get", "move", "dicomweb"])
@pytest.mark.usefixtures("talkative")
def test_no_identifier_is_said(
    site: Site,
    door: str,
    head: list[Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    secrets, said = identifiers(head[0]), list[str]()
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        pacs, store = site.pacs(door), IncomingStore(tmp_path / "incoming")
        pacs.send(head[:3])
        found = pacs.find(SeriesQuery.model_validate({"PatientID": secrets[0], "SeriesDescription": "Hippo*"}))[0]
        pacs.fetch(found, store)
        said += [repr(found), str(found), repr(pacs), repr(store)]
        said += failures(site, door, found, tmp_path)
    captured = capfd.readouterr()
    said += [caplog.text, captured.out, captured.err, *(str(warning.message) for warning in warned)]
    said += [str(path) for path in store.folder.rglob("*")]
    assert [secret for secret in secrets if any(secret in text for text in said)] == []


def failures(site: Site, door: str, found: FoundSeries, folder: Path) -> list[str]:
    """What is said when things go wrong: errors as shown, and as --debug shows them."""
    elsewhere = {"url": "https://127.0.0.1:9/x"} if door == "dicomweb" else {"port": 9}
    foreign = FoundSeries("SOMEBODY ELSE", found.study_uid, found.series_uid, "MR", 3)
    gone = FoundSeries(found.patient_id, found.study_uid, found.series_uid + ".9", "MR", 3)
    said = []
    for pacs, series in (
        (site.pacs(door, **elsewhere), found),
        (site.pacs(door), foreign),
        (site.pacs(door), gone),
        (site.pacs(door, limits={"instances": 1}), found),
    ):
        with pytest.raises(DicomError) as refused:
            pacs.fetch(series, IncomingStore(folder / str(len(said))))
        said += [str(refused.value), "".join(traceback.format_exception(refused.value))]
    return said


def test_the_log_would_have_said_it(
    site: Site, head: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, talkative: None
) -> None:
    """With the silence taken away the same call logs a patient's identifier: the test above can fail."""
    site.orthanc.store(head[:1])
    monkeypatch.setattr("fedvoxel.dicom.association._be_discreet", lambda: None)
    monkeypatch.setattr("fedvoxel.dicom.quiet._LOGGERS", ())
    caplog.set_level(logging.DEBUG)
    site.pacs("get").find(SeriesQuery())
    assert identifiers(head[0])[0] in caplog.text


def test_a_password_is_never_shown(site: Site) -> None:
    pacs = site.pacs("dicomweb")
    assert "only-for-tests" not in repr(pacs) + repr(pacs.config) + str(vars(pacs.transport))
