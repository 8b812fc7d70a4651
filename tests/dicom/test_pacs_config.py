"""What a site's file may say of a PACS and a query, and what it may not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.dicom.pacs_config import DicomwebConfig, DimseConfig, PacsConfig
from fedvoxel.dicom.query import FoundSeries, SeriesQuery
from fedvoxel.errors import ConfigError

DIMSE = {
    "protocol": "dimse",
    "host": "pacs.example",
    "port": 104,
    "called_ae_title": "MAIN PACS",
    "calling_ae_title": "FEDVOXEL",
    "tls": {"ca": "ca.pem", "certificate": "site.pem", "key": "site.key"},
}
WEB = {"protocol": "dicomweb", "url": "https://pacs.example/dicom-web/"}


class Holder(FrozenModel):
    """Stands for the site's file."""

    pacs: PacsConfig


def parsed(values: dict[str, Any]) -> DimseConfig | DicomwebConfig:
    return parse_config(Holder, {"pacs": values}, "the site's own file").pacs


def test_the_protocol_decides() -> None:
    assert isinstance(parsed(DIMSE), DimseConfig)
    web = parsed(WEB)
    assert isinstance(web, DicomwebConfig) and web.url == "https://pacs.example/dicom-web"
    assert isinstance(parsed(WEB | {"url": "http://127.0.0.1:8042/dicom-web"}), DicomwebConfig)
    assert isinstance(parsed(WEB | {"url": "http://[::1]:8042/dicom-web"}), DicomwebConfig)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (DIMSE | {"tls": None}, "expected either tls or"),
        (DIMSE | {"plaintext": True}, "expected either tls or"),
        (DIMSE | {"tls": {"ca": "ca.pem", "key": "site.key"}}, "expected certificate and key together"),
        (DIMSE | {"retrieve": "move"}, "expected storage with"),
        (DIMSE | {"storage": {"port": 11112}}, "expected storage with"),
        (DIMSE | {"retrieve": "move", "storage": {"port": 11112, "host": "0.0.0.0"}}, "not all of them"),  # noqa: S104
        (DIMSE | {"retrieve": "move", "storage": {"port": 11112, "host": "::"}}, "not all of them"),
        (DIMSE | {"retrieve": "move", "storage": {"port": 11112}, "tls": {"ca": "ca.pem"}}, "expected tls.certificate"),
        (DIMSE | {"called_ae_title": "SEVENTEEN LETTERS"}, "called_ae_title"),
        (DIMSE | {"called_ae_title": "A\\B"}, "called_ae_title"),
        (DIMSE | {"called_ae_title": " PACS"}, "called_ae_title"),
        (DIMSE | {"password": "x"}, "password"),
        (DIMSE | {"timeout_s": 0}, "timeout_s"),
        (DIMSE | {"protocol": "ftp"}, "protocol"),
        (WEB | {"url": "http://pacs.example/dicom-web"}, "expected https"),
        (WEB | {"url": "http://localhost/dicom-web"}, "expected https"),
        (WEB | {"url": "ftp://127.0.0.1/"}, "expected https"),
        (WEB | {"url": "https://user:word@pacs.example/"}, "without a user"),
        (WEB | {"url": "https://pacs.example/?key=1"}, "without a user"),
        (WEB | {"username": "site"}, "expected username and password_file"),
        (WEB | {"certificate": "site.pem"}, "expected certificate and key"),
        (WEB | {"limits": {"instance_mib": 0}}, "instance_mib"),
    ],
)
def test_what_is_unsafe_or_half_said_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parsed(values)
    assert said in str(refused.value)


def test_the_sites_file_is_read_without_dicom() -> None:
    script = "import sys\nimport fedvoxel.volumes.site\nprint([name for name in sys.modules if 'dicom' in name])\n"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=_ENVIRONMENT)
    loaded = {name for name in eval(shown.stdout) if not name.startswith("fedvoxel")}  # noqa: S307
    assert loaded == set()


_ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[2] / "app_custom"), "PATH": "/usr/bin:/bin"}


def asked(**keys: Any) -> SeriesQuery:
    return parse_config(SeriesQuery, keys, "the query")


def test_lists_become_one_question_for_each_value() -> None:
    query = asked(PatientID=["one", "two"], ModalitiesInStudy=["MR"], StudyDate="20240101-20241231")
    fixed = {"StudyDate": "20240101-20241231", "ModalitiesInStudy": "MR"}
    assert query.study_keys() == [fixed | {"PatientID": "one"}, fixed | {"PatientID": "two"}]
    assert asked().study_keys() == [{}]


@pytest.mark.parametrize(
    ("keys", "answer", "wanted"),
    [
        ({"PatientID": "A"}, {"PatientID": "A"}, True),
        ({"PatientID": "A"}, {"PatientID": "AB"}, False),
        ({"PatientID": "A"}, {}, False),
        ({"AccessionNumber": ["1", "2"]}, {"AccessionNumber": "2"}, True),
        ({"StudyDate": "20240131"}, {"StudyDate": "20240131"}, True),
        ({"StudyDate": "20240131"}, {"StudyDate": "20240201"}, False),
        ({"StudyDate": "20240101-"}, {"StudyDate": "20231231"}, False),
        ({"StudyDate": "-20240101"}, {"StudyDate": "20231231"}, True),
        ({"StudyDate": "-20240101"}, {"StudyDate": ""}, False),
        ({"StudyDescription": "*BRAIN?"}, {"StudyDescription": "MR brain2"}, True),
        ({"StudyDescription": "[a]*"}, {"StudyDescription": "[A] b"}, True),
        ({"StudyDescription": "[a]*"}, {"StudyDescription": "a b"}, False),
        ({"ModalitiesInStudy": ["MR"]}, {"ModalitiesInStudy": ""}, True),
    ],
)
def test_an_answer_is_held_against_the_question(keys: dict[str, Any], answer: dict[str, str], wanted: bool) -> None:
    assert asked(**keys).wants_study(answer) is wanted


@pytest.mark.parametrize(
    "keys",
    [
        {"PatientID": "SECRET*"},
        {"PatientID": ["SECRET?"]},
        {"PatientID": "SECRET\\OTHER"},
        {"PatientID": "SECRET" * 20},
        {"AccessionNumber": [{"SECRET": 1}]},
        {"PatientID": "SECRET", "StudyDate": "yesterday"},
        {"PatientID": "SECRET", "PatientName": ["x"]},
    ],
)
def test_identifiers_are_exact_and_never_shown(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        asked(**keys)
    assert "SECRET" not in str(refused.value)


def test_what_identifies_is_not_represented() -> None:
    shown = repr(asked(PatientID="SECRET")) + repr(FoundSeries("SECRET", "1.2.SECRET", "1.SECRET", "MR", 3))
    assert "SECRET" not in shown
