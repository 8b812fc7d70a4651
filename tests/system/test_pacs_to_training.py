"""Two hospitals, each with a PACS of its own: found, pulled, de-identified, built, and trained on for two rounds."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from fedvoxel.privacy.policy import NoBudget, grant
from fedvoxel.volumes.hippocampus import CLASSES
from fedvoxel.volumes.site import SITE_FILE, load_site_config
from fedvoxel.volumes.split import SplitFractions, split_of
from tests.orthanc import CALLED, CALLING, PASSWORD, USER, Orthanc, TlsFront
from tests.tls_files import Authority

from .conftest import SITES, SystemUnderTest, job_variant, wait_until
from .dicom_cases import mr_and_seg
from .tiny_cohorts import WANTED, describe_cohort

COHORT = "from_pacs"
SEGMENTS = {"Anterior": CLASSES["anterior"], "Posterior": CLASSES["posterior"]}
_CASES = sum(WANTED.values())


@dataclass
class Hospital:
    """Is a hospital's kit, its PACS, and the patients that its cohort will have."""

    kit: Path
    orthanc: Orthanc
    patients: list[str] = field(default_factory=list)

    @property
    def site_file(self) -> Path:
        """The hospital's own file."""
        return self.kit / "local" / SITE_FILE

    @property
    def built(self) -> Path:
        """Where the cohort is built."""
        return self.kit / "local" / "built"

    def build(self) -> dict[str, Any]:
        """Runs `fedvoxel cohort build` to its end and returns what it says in JSON."""
        done = subprocess.run(self._command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        self.says_nothing_of_patients(done.stdout + done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def interrupted_build(self) -> None:
        """Runs the same command and kills it, and all that it started, once it has built one case."""
        with subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_until(lambda: process.poll() is not None or any(self.built.glob("images/*.nii.gz")), 120, "a case")
            assert process.poll() is None, "the command ended before it was killed"
            process.send_signal(signal.SIGKILL)
        assert not (self.built / "manifest.json").exists()

    def manifest(self) -> dict[str, Any]:
        """Returns the cohort's manifest."""
        content: dict[str, Any] = json.loads((self.built / "manifest.json").read_text())
        return content

    def says_nothing_of_patients(self, text: str) -> None:
        """Fails where a text names one of the patients."""
        assert not [name for name in [*self.patients, "INVENTED", "PGBM", "ProstateX"] if name in text]

    @property
    def _command(self) -> list[str]:
        words = ["cohort", "build", "--site", str(self.site_file), "--cohort", COHORT, "--json"]
        return [sys.executable, "-m", "fedvoxel.cli.main", *words]


@pytest.fixture(scope="module")
def hospitals(
    provisioned: Any, data_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Hospital, Hospital]]:
    """Hospital a reaches its PACS over DIMSE with mutual TLS, hospital b over DICOMweb behind a TLS front."""
    folder = tmp_path_factory.mktemp("archives")
    kits = [provisioned.kit(site) for site in SITES[:2]]
    authorities = [Authority(kit / "local" / "pacs") for kit in kits]
    identities = [(authority.issue("site"), authority.issue("archive")) for authority in authorities]
    with (
        Orthanc(folder / "a", (authorities[0], identities[0][1])) as dimse,
        Orthanc(folder / "b") as web,
        TlsFront(web.http_port, identities[1][1], authorities[1]) as front,
    ):
        tls = {"ca": "pacs/ca.pem", "certificate": "pacs/site.pem", "key": "pacs/site.key"}
        titles = {"called_ae_title": CALLED, "calling_ae_title": CALLING}
        by_dimse = {"protocol": "dimse", "host": "127.0.0.1", "port": dimse.dimse_port, "tls": tls, **titles}
        password = kits[1] / "local" / "pacs" / "password"
        password.write_text(PASSWORD)
        password.chmod(0o600)
        by_web = {"protocol": "dicomweb", "url": front.url, "username": USER, "password_file": "pacs/password", **tls}
        both = Hospital(kits[0], dimse), Hospital(kits[1], web)
        files = sorted((data_folder / "msd_hippocampus" / "images").glob("*.nii.gz"))
        for hospital, described, chosen in zip(
            both, (by_dimse, by_web), (files[:_CASES], files[_CASES : 2 * _CASES]), strict=True
        ):
            _describe(hospital, described)
            _fill(hospital, chosen, data_folder)
        yield both


def _describe(hospital: Hospital, pacs: dict[str, Any]) -> None:
    described = {
        "source": {"layout": "built", "folder": "built"},
        "classes": CLASSES,
        "build": {
            "source": {
                "pacs": "archive",
                "query": {"SeriesDescription": "*hippo*"},
                "label_query": {"Modality": ["SEG"]},
            },
            "image": {"modality": "MR"},
            "labels": {"kind": "seg", "names": {"anterior": ["Anterior"], "posterior": ["Posterior"]}},
            "deid": {"project": "hippocampus", "faces": "kept"},
        },
    }
    site = json.loads(hospital.site_file.read_text())
    site["pacs"] = {"archive": pacs}
    site["cohorts"][COHORT] = described
    hospital.site_file.write_text(json.dumps(site | {"compute": {"threads": 1, "device": "cpu"}}))
    grant(hospital.kit / "local", COHORT, NoBudget())


def _fill(hospital: Hospital, images: list[Path], data_folder: Path) -> None:
    """Stores labelled scans under names that fall in the wanted splits, and real series that the query passes by."""
    site = load_site_config(hospital.site_file)
    wanted = [split for split, count in WANTED.items() for _ in range(count)]
    for number, (image, split) in enumerate(zip(images, wanted, strict=True)):
        names = (f"SURNAME{number}X{trial}" for trial in range(1000))
        patient = next(name for name in names if split_of(site.pseudonym_of(name), SplitFractions()) == split)
        hospital.patients.append(patient)
        label = image.parents[1] / "labels" / image.name
        hospital.orthanc.store(_saved(mr_and_seg(image, label, patient, SEGMENTS), hospital.orthanc.folder / patient))
    studies = data_folder / "dicom_studies"
    others = [*studies.glob("hippocrop/Study1/*.dcm"), *studies.glob("prostatex/*/9.*/*.dcm")]
    others += (data_folder / "dicom_seg_rt" / "dcmqi" / "segmentations").glob("ct-3slice/*.dcm")
    hospital.orthanc.store([*others, data_folder / "dicom_seg_rt" / "dcmqi" / "segmentations" / "liver.dcm"])


def _saved(instances: list[Dataset], folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{index}.dcm" for index in range(len(instances))]
    for path, instance in zip(paths, instances, strict=True):
        instance.save_as(path, enforce_file_format=True)
    return paths


@pytest.mark.slow
def test_what_two_pacs_hold_is_trained_on_for_two_rounds(
    hospitals: tuple[Hospital, Hospital], system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    for hospital in hospitals:
        hospital.interrupted_build()
        hospital.build()
        manifest = hospital.manifest()
        splits = [case["split"] for case in manifest["cases"]]
        assert {split: splits.count(split) for split in WANTED} == WANTED
        # The real series is found and pulled, and has no label.
        assert [refused["reason"] for refused in manifest["refused"]] == ["missing_label"]
        hospital.says_nothing_of_patients(json.dumps(manifest))
        # In one go, from nothing: the same cohort.
        shutil.rmtree(hospital.built)
        hospital.build()
        assert hospital.manifest()["cohort_sha256"] == manifest["cohort_sha256"]
    for site in SITES[2:]:
        describe_cohort(system.kit(site), COHORT, cohort_rows[site])

    outcome = system.run(job_variant(tmp_path, f"from_pacs_{int(time.time())}", rounds=2, cohort=COHORT))

    assert outcome.status == "finished", outcome
    contributed = [record.contributed for record in outcome.rounds]
    assert len(contributed) == 2
    assert all(dict.fromkeys(SITES[:2], WANTED["training"]).items() <= cases.items() for cases in contributed)
