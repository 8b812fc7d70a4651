"""`fedvoxel cohort conformance` and `fedvoxel cohort deidentify`."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, dcmwrite

from fedvoxel.cli.main import main
from fedvoxel.volumes.exclusions import ANCHOR_FILE, Exclusions
from fedvoxel.volumes.site import load_site_config
from tests.deid.opened import KEY
from tests.deid.scans import base_object

COHORT = {
    "source": {"layout": "built", "folder": "cohorts/liver"},
    "classes": {"liver": 1},
    "build": {
        "source": {"folder": "dicom"},
        "image": {"modality": "CT"},
        "labels": {"kind": "seg", "names": {"liver": ["Liver"]}},
        "deid": {"project": "livers"},
    },
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "fedvoxel_site.json"
    path.write_text(json.dumps({"schema_version": 1, "pseudonym_key": KEY, "cohorts": {"liver": COHORT}}))
    (tmp_path / "dicom").mkdir()
    return path


def store(folder: Path, kind: str, **changed: Any) -> None:
    dataset = base_object(kind)
    dataset.PatientID, dataset.PatientName = "4711", "Doe^Jane"
    for keyword, value in changed.items():
        setattr(dataset, keyword, value)
    dcmwrite(folder / kind, dataset, enforce_file_format=True)


def test_the_statement_is_printed_or_written(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = ["--site", str(site), "--cohort", "liver"]
    assert main(["cohort", "conformance", *named]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# De-identification conformance statement\n\nProject: livers\n") and KEY not in shown
    for name in ("liver.md", "liver.csv"):
        assert main(["cohort", "conformance", *named, "--out", str(site.parent / name)]) == 0
    assert (site.parent / "liver.md").read_text() == shown
    assert (site.parent / "liver.csv").read_text().startswith("tag,attribute,profile,does,option\n")
    assert main(["cohort", "conformance", *named, "--out", str(site.parent / "liver.pdf")]) == 3


def test_a_statement_for_a_law_is_printed_or_written(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = ["--site", str(site), "--cohort", "liver", "--law"]
    assert main(["cohort", "conformance", *named, "hipaa"]) == 0
    shown = capsys.readouterr().out
    assert "Safe Harbor" in shown and "Left to people: (C), (H)" in shown and KEY not in shown
    assert main(["cohort", "conformance", *named, "pdpa", "--out", str(site.parent / "pdpa.md")]) == 0
    assert "PDPC" in (site.parent / "pdpa.md").read_text()
    assert main(["cohort", "conformance", *named, "pdpa", "--out", str(site.parent / "pdpa.csv")]) == 3
    assert main(["cohort", "conformance", *named, "gdpr"]) == 2


def test_a_folder_is_cleaned_to_look_at(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = site.parent / "dicom", site.parent / "clean"
    store(source, "SEG")
    store(source, "MR", BodyPartExamined="BRAIN", StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.8")
    dataset = dcmread(source / "SEG")
    dataset.SegmentSequence[0].SegmentLabel = "liver "
    dcmwrite(source / "SEG", dataset)
    command = ["cohort", "deidentify", str(source), str(out), "--site", str(site), "--cohort", "liver"]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "1 objects written, 0 were there before" in shown.out and "recognizable_face" in shown.out
    assert "Doe" not in shown.out + shown.err and "4711" not in shown.out + shown.err
    (path,) = out.rglob("*.dcm")
    assert dcmread(path).SegmentSequence[0].SegmentLabel == "Liver"
    assert main(command) == 0
    assert "0 objects written, 1 were there before" in capsys.readouterr().out


def in_a_kit(site: Path, folder: Path) -> tuple[Path, Path]:
    """Moves a site's configuration into a kit, whose exclusions count then; returns its new place and the kit's own."""
    local = folder / "kit" / "local"
    local.mkdir(parents=True)
    return site.rename(local / site.name), local


def test_an_excluded_patient_is_not_written_and_taken_out_again(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, local = in_a_kit(site, tmp_path)
    source, out = tmp_path / "dicom", tmp_path / "clean"
    store(source, "SEG")
    store(source, "CT", PatientID="4712", StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.8")
    command = ["cohort", "deidentify", str(source), str(out), "--site", str(site), "--cohort", "liver"]
    assert main(command) == 0
    assert "2 objects written" in capsys.readouterr().out and len(list(out.glob("patient-*"))) == 2

    config = load_site_config(site)
    Exclusions(config, local).exclude([config.pseudonym_of("4712")])
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "0 objects written, 1 were there before" in shown and "1 objects left out" in shown and "4712" not in shown
    assert [dcmread(path).Modality for path in out.rglob("*.dcm")] == ["SEG"] and len(list(out.glob("patient-*"))) == 1

    fresh = [*command[:3], str(tmp_path / "anew"), *command[4:]]
    assert main(fresh) == 0
    assert "1 objects written, 0 were there before" in capsys.readouterr().out
    (local / ANCHOR_FILE).write_text("{}")
    assert main(fresh) == 5
    assert "cannot be trusted" in capsys.readouterr().err


def test_a_patient_whose_originals_are_gone_is_taken_out_again(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, local = in_a_kit(site, tmp_path)
    source, out = tmp_path / "dicom", tmp_path / "clean"
    store(source, "CT")
    store(source, "SEG", PatientID="4712", StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.8")
    command = ["cohort", "deidentify", str(source), str(out), "--site", str(site), "--cohort", "liver"]
    assert main(command) == 0
    config = load_site_config(site)
    (source / "CT").unlink()
    Exclusions(config, local).exclude([config.pseudonym_of("4711")])
    capsys.readouterr()
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "1 objects that were there before were removed: their patients are taken out" in shown
    assert "nobody can tell" not in shown
    assert [dcmread(path).Modality for path in out.rglob("*.dcm")] == ["SEG"]
    (note,) = out.rglob(".whose")
    assert config.pseudonym_of("4712") not in note.read_text(), "what is cleaned is not joined with the site's lists"

    note.unlink()  # as an earlier version wrote it
    (source / "SEG").rename(tmp_path / "SEG")
    assert main(command) == 16
    shown = capsys.readouterr()
    assert "1 series in OUT" in shown.out and f"  {note.parent.relative_to(out)}\n" in shown.out
    assert "no object could be de-identified: FOLDER holds none" in shown.err

    (tmp_path / "SEG").rename(source / "SEG")
    Exclusions(config, local).exclude([config.pseudonym_of("4712")])
    assert main(command) == 16
    shown = capsys.readouterr()
    assert "no object could be de-identified: 1 were left out" in " ".join(shown.err.split())
    assert "table" not in shown.err and list(out.rglob("*.dcm")) == []


def test_what_cannot_be_done_has_its_exit_code(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = site.parent / "dicom", site.parent / "clean"
    named = ["--site", str(site), "--cohort"]
    assert main(["cohort", "conformance", *named, "other"]) == 5
    assert main(["cohort", "deidentify", str(source), str(source / "in"), *named, "liver"]) == 3
    store(source, "CT", BodyPartExamined="HEAD")
    assert main(["cohort", "deidentify", str(source), str(out), *named, "liver"]) == 16
    assert "no object could be de-identified" in capsys.readouterr().err
