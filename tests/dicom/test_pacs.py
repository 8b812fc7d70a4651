"""Finding, pulling and sending at a real PACS, through each of its doors."""

import hashlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest
from pydicom.uid import JPEG2000, RLELossless, generate_uid

from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.query import FoundSeries, SeriesQuery
from fedvoxel.dicom.storage_classes import TRANSFER_SYNTAXES
from fedvoxel.errors import ConfigError, DicomError
from tests.dicom.conftest import Site
from tests.orthanc import free_port
from tests.tls_files import Authority

DOORS = ("get", "move", "dicomweb")
both_protocols = pytest.mark.parametrize("door", ["get", "dicomweb"])
every_door = pytest.mark.parametrize("door", DOORS)


def data_sets(paths: Iterable[Path]) -> set[str]:
    """What files hold after their meta information, which DIMSE does not carry."""
    return {hashlib.sha256(_without_meta(path)).hexdigest() for path in paths}


def _without_meta(path: Path) -> bytes:
    content = path.read_bytes()
    length = int.from_bytes(content[140:144], "little")  # of group 2, PS3.10 7.1
    return content[144 + length :]


def images(paths: Iterable[Path]) -> dict[str, bytes]:
    """The pixels of each instance: Orthanc writes the sequences of some headers anew for DIMSE."""
    read = [pydicom.dcmread(path) for path in paths]
    return {str(one.SOPInstanceUID): hashlib.sha256(one.PixelData).digest() for one in read}


def _only(found: tuple[FoundSeries, ...]) -> FoundSeries:
    assert len(found) == 1
    return found[0]


PULL_AND_DIE = """
import os, pickle, signal, sys
from pathlib import Path
from pydantic import TypeAdapter
from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.pacs import open_pacs
from fedvoxel.dicom.pacs_config import PacsConfig
base, folder, values, found = pickle.loads(bytes.fromhex(sys.argv[1]))
die = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done == 5 else None
open_pacs(TypeAdapter(PacsConfig).validate_json(values), Path(base)).fetch(found, IncomingStore(Path(folder)), die)
"""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "app_custom")}


def _pulled(store: IncomingStore, found: FoundSeries) -> list[Path]:
    return sorted(store.series_folder(found).glob("*.dcm"))


@every_door
def test_it_answers(site: Site, door: str) -> None:
    site.pacs(door).check()


def test_the_pacs_of_the_tests_listens_on_loopback_only(site: Site) -> None:
    connections = psutil.Process(site.orthanc.pid).net_connections(kind="inet")
    listening = [(one.laddr.ip, one.laddr.port) for one in connections if one.status == psutil.CONN_LISTEN]
    assert sorted(listening) == sorted(
        ("127.0.0.1", port) for port in (site.orthanc.dimse_port, site.orthanc.http_port)
    )


@every_door
def test_the_same_bytes_come_back(site: Site, door: str, head: list[Path], tmp_path: Path) -> None:
    pacs, store, seen = site.pacs(door), IncomingStore(tmp_path / "incoming"), list[tuple[int, int]]()
    pacs.send(head)
    found = _only(pacs.find(SeriesQuery()))
    assert (found.modality, found.instances) == ("MR", len(head))
    pacs.fetch(found, store, lambda done, total: seen.append((done, total)))
    assert data_sets(_pulled(store, found)) == data_sets(head)
    assert store.is_complete(found) and seen == [(number + 1, len(head)) for number in range(len(head))]
    assert {path.stat().st_mode & 0o777 for path in store.series_folder(found).iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (store.folder, store.series_folder(found))} == {0o700}


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000], ids=["RLE", "JPEG 2000"])
@every_door
def test_compressed_series_come_as_they_are(
    site: Site, door: str, syntax: Any, head: list[Path], data_folder: Path, tmp_path: Path
) -> None:
    paths = _compressed(syntax, head, data_folder, tmp_path)
    site.orthanc.store(paths)
    pacs, store = site.pacs(door), IncomingStore(tmp_path / "incoming")
    for found in pacs.find(SeriesQuery()):
        pacs.fetch(found, store)
    pulled = sorted(store.folder.glob("*/*.dcm"))
    assert images(pulled) == images(paths)
    assert {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in pulled} == {syntax}


def _compressed(syntax: Any, head: list[Path], data_folder: Path, folder: Path) -> list[Path]:
    if syntax == JPEG2000:
        return [data_folder / "dicom_odd" / "pydicom-data" / "MR2_J2KI.dcm"]
    paths = []
    for path in head[:3]:
        made = pydicom.dcmread(path)
        made.compress(syntax, generate_instance_uid=False)
        paths.append(folder / path.name)
        made.save_as(paths[-1])
    return paths


@every_door
def test_pulled_twice_is_stored_once(site: Site, door: str, prostate: list[Path], tmp_path: Path) -> None:
    site.orthanc.store(prostate)
    pacs, store = site.pacs(door), IncomingStore(tmp_path / "incoming")
    found = _only(pacs.find(SeriesQuery()))
    pacs.fetch(found, store)
    before = {path: path.stat().st_mtime_ns for path in _pulled(store, found)}
    site.orthanc.clear()  # nobody is asked for what is complete
    pacs.fetch(found, IncomingStore(store.folder))
    assert {path: path.stat().st_mtime_ns for path in _pulled(store, found)} == before
    store.remove(found)
    assert not store.is_complete(found) and not store.series_folder(found).exists()
    store.remove(found)


@every_door
def test_a_transfer_that_was_cut_off_is_continued(site: Site, door: str, prostate: list[Path], tmp_path: Path) -> None:
    site.orthanc.store(prostate)
    pacs, store = site.pacs(door), IncomingStore(tmp_path / "incoming")
    found = _only(pacs.find(SeriesQuery()))

    values = pacs.config.model_dump_json(exclude_none=True)
    seen = pickle.dumps((str(site.base), str(store.folder), values, found)).hex()
    killed = subprocess.run([sys.executable, "-c", PULL_AND_DIE, seen], env=_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    here = {path: path.stat().st_mtime_ns for path in _pulled(store, found)}
    assert 5 <= len(here) < len(prostate) and not store.is_complete(found)
    pacs.fetch(found, store)
    after = {path: path.stat().st_mtime_ns for path in _pulled(store, found)}
    assert store.is_complete(found) and after.items() >= here.items()
    assert images(after) == images(prostate)


@both_protocols
def test_a_query_chooses(site: Site, door: str, head: list[Path], prostate: list[Path]) -> None:
    site.orthanc.store([*head[:2], *prostate[:3]])
    pacs = site.pacs(door)
    one, other = (pydicom.dcmread(paths[0], stop_before_pixels=True) for paths in (head, prostate))

    def sizes(**keys: Any) -> list[int | None]:
        return sorted(found.instances for found in pacs.find(SeriesQuery.model_validate(keys)))  # type: ignore[type-var]

    assert sizes() == [2, 3]
    assert sizes(PatientID=one.PatientID) == [2]
    assert sizes(PatientID=[one.PatientID, other.PatientID]) == [2, 3]
    assert sizes(PatientID="NOBODY") == []
    assert sizes(StudyDate=other.StudyDate) == [3]
    assert sizes(StudyDate="-19000101") == []
    assert sizes(Modality=["MR"]) == [2, 3]
    assert sizes(Modality=["CT"]) == sizes(ModalitiesInStudy=["CT"]) == []
    assert sizes(ModalitiesInStudy=["CT", "MR"]) == [2, 3]
    assert sizes(SeriesDescription="*pd REF*") == [3]


@both_protocols
def test_limits_refuse_and_do_not_cut(site: Site, door: str, head: list[Path], tmp_path: Path) -> None:
    site.orthanc.store(head[:4])
    found = _only(site.pacs(door).find(SeriesQuery()))
    for limits, reason in (({"instances": 3}, "pacs_too_much"), ({"free_gib": 1e9}, "incoming_disk")):
        store = IncomingStore(tmp_path / reason)
        with pytest.raises(DicomError) as refused:
            site.pacs(door, limits=limits).fetch(found, store)
        assert refused.value.reason == reason
        assert list(store.folder.glob("*/*")) == []


@every_door
def test_an_instance_has_a_largest_size(site: Site, door: str, head: list[Path], tmp_path: Path) -> None:
    large = pydicom.dcmread(head[0])
    large.SeriesInstanceUID, large.NumberOfFrames = generate_uid(), 700
    large.PixelData = large.PixelData * 700
    large.save_as(tmp_path / "large.dcm")
    site.orthanc.store([tmp_path / "large.dcm"])
    pacs, store = site.pacs(door, limits={"instance_mib": 1}), IncomingStore(tmp_path / "incoming")
    found = _only(pacs.find(SeriesQuery()))
    with pytest.raises(DicomError) as refused:
        pacs.fetch(found, store)
    assert refused.value.reason == "pacs_too_much"
    assert list(store.folder.glob("*/*")) == []


@both_protocols
def test_a_series_that_is_not_there_is_not_complete(site: Site, door: str, head: list[Path], tmp_path: Path) -> None:
    site.orthanc.store(head[:2])
    found = _only(site.pacs(door).find(SeriesQuery()))
    site.orthanc.clear()
    with pytest.raises(DicomError) as refused:
        site.pacs(door).fetch(found, IncomingStore(tmp_path / "incoming"))
    assert refused.value.reason in ("pacs_incomplete", "pacs_failed")


@pytest.mark.parametrize(
    ("door", "changed", "reason"),
    [
        ("get", {"called_ae_title": "NOBODY"}, "pacs_rejected"),
        ("get", {"calling_ae_title": "NOBODY"}, "pacs_rejected"),
        ("get", {"port": 0}, "pacs_unreachable"),
        ("get", {"host": "pacs.invalid"}, "pacs_unreachable"),
        ("get", {"tls": {"ca": "certificates/ca.pem"}}, "pacs_tls"),
        ("get", {"tls": {"ca": "other/ca.pem"}}, "pacs_tls"),
        ("get", {"tls": {"ca": "certificates/ca.pem", "server_name": "example.org"}}, "pacs_tls"),
        ("get", {"tls": None, "plaintext": True}, "pacs_tls"),
        ("dicomweb", {"username": "nobody"}, "pacs_credentials"),
        ("dicomweb", {"username": None, "password_file": None}, "pacs_credentials"),
        ("dicomweb", {"certificate": None, "key": None}, "pacs_tls"),
        ("dicomweb", {"ca": "other/ca.pem"}, "pacs_tls"),
        ("dicomweb", {"ca": None}, "pacs_tls"),
        ("dicomweb", {"url": "https://pacs.invalid/dicom-web"}, "pacs_unreachable"),
        ("dicomweb", {"url": "https://127.0.0.1:{free}/dicom-web"}, "pacs_unreachable"),
        ("dicomweb", {"url": "https://127.0.0.1:{http}/dicom-web"}, "pacs_tls"),
        ("dicomweb", {"url": "http://127.0.0.1:{http}/elsewhere"}, "pacs_unsupported"),
    ],
)
def test_what_does_not_fit_is_told_apart(site: Site, door: str, changed: dict[str, Any], reason: str) -> None:
    Authority(site.base / "other")
    if "url" in changed:
        changed = {"url": changed["url"].format(free=free_port(), http=site.orthanc.http_port)}
    changed = {key: value or free_port() if key == "port" else value for key, value in changed.items()}
    pacs = site.pacs(door, **changed)
    for attempt in (pacs.check, lambda: pacs.find(SeriesQuery())):
        with pytest.raises(DicomError) as refused:
            attempt()
        assert refused.value.reason == reason, str(refused.value)


def test_a_destination_that_the_pacs_does_not_know(site: Site, head: list[Path], tmp_path: Path) -> None:
    """The AE title is another, so that the PACS would move to nobody."""
    site.orthanc.store(head[:1])
    found = _only(site.pacs("get").find(SeriesQuery()))
    pacs = site.pacs("move", storage={"port": free_port()}, timeout_s=5)
    with pytest.raises(DicomError) as refused:
        pacs.fetch(found, IncomingStore(tmp_path / "incoming"))
    assert refused.value.reason in ("pacs_failed", "pacs_timeout", "pacs_incomplete")


def test_a_storage_port_that_is_taken(site: Site, head: list[Path], tmp_path: Path) -> None:
    site.orthanc.store(head[:1])
    found = _only(site.pacs("get").find(SeriesQuery()))
    pacs = site.pacs("move", storage={"port": site.orthanc.http_port})
    for attempt in (pacs.check, lambda: pacs.fetch(found, IncomingStore(tmp_path / "incoming"))):
        with pytest.raises(DicomError, match="cannot listen") as refused:
            attempt()
        assert refused.value.reason == "pacs_unreachable"


@both_protocols
def test_sending_says_what_was_not_stored(site: Site, door: str, head: list[Path], tmp_path: Path) -> None:
    site.pacs(door).send([])
    site.pacs(door).send([pydicom.dcmread(head[0]), pydicom.dcmread(head[1])])
    site.pacs(door).send([head[0]])
    assert _only(site.pacs(door).find(SeriesQuery())).instances == 2
    (tmp_path / "broken.dcm").write_bytes(b"\x00" * 128 + b"DICM" + b"garbage" * 9)
    with pytest.raises(DicomError):
        site.pacs(door).send([head[2], tmp_path / "broken.dcm"])
    with pytest.raises(DicomError) as missing:
        site.pacs(door).send([tmp_path / "nothing.dcm"])
    assert missing.value.reason == "unreadable_file"


def test_every_syntax_fits_into_one_association() -> None:
    """At most 128 presentation contexts (PS3.8 9.3.2.2): one for C-GET, and every syntax of several kinds."""
    assert 1 + 3 * len(TRANSFER_SYNTAXES) <= 128


@pytest.mark.parametrize("door", ["get", "dicomweb"])
def test_files_that_others_can_read_are_refused(site: Site, door: str) -> None:
    key = "password" if door == "dicomweb" else "certificates/site.key"
    (site.base / key).chmod(0o640)
    try:
        with pytest.raises(ConfigError, match="chmod 600"):
            site.pacs(door)
    finally:
        (site.base / key).chmod(0o600)
    if door == "get":
        with pytest.raises(ConfigError, match="ca: expected a file"):
            site.pacs(door, tls={"ca": "nowhere.pem"})
        with pytest.raises(ConfigError, match="in PEM form"):
            site.pacs(door, tls={"ca": "password"})
    else:
        with pytest.raises(ConfigError, match="password_file: expected a file"):
            site.pacs(door, password_file="nowhere")
