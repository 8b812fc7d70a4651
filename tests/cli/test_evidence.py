"""`fedvoxel evidence`: writes a pack, says what is missing and what to do next; 17 at one that was changed."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from tests.governance.evidence_sample import LEAD, OFFICER, A, B, Sample, evidence_sample

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return evidence_sample(tmp_path_factory.mktemp("evidence"))


def words(sample: Sample, out: Path, *more: str) -> list[str]:
    kits = ["--kit", str(sample.server), "--sign", str(sample.kit(OFFICER)), "--out", str(out)]
    return ["evidence", str(sample.run), *kits, *more]


def everything(sample: Sample) -> list[str]:
    named = {"--package": sample.package, "--releases": sample.index, "--result": sample.results}
    sites = [part for site in (A, B) for part in ("--site-kit", str(sample.kit(site)))]
    return [*sites, *(part for option, path in named.items() for part in (option, str(path)))]


def verified(sample: Sample, out: Path, *more: str) -> int:
    return main(["evidence", "verify", str(out), "--root", str(sample.kit(A)), *more])


def test_a_pack_is_written_verified_and_names_hospitals_on_the_terminal_alone(
    sample: Sample, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "pack"
    assert main(words(sample, out, *everything(sample))) == 0
    told = capsys.readouterr().out
    assert "verified  the run's outcome" in told and "missing  the reader study" in told
    assert f"is {A}" in told and "not compliance" in " ".join(told.split())
    assert "Next: fill in" in told and str(out / "human_input.yml") in told
    assert A not in (out / "artefacts.json").read_text()
    assert verified(sample, out) == 0
    told = capsys.readouterr().out
    assert f"signed by {OFFICER}" in " ".join(told.split()) and "files are what was signed" in told


def test_json_says_the_same_to_a_script(sample: Sample, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "pack"
    assert main(words(sample, out, *everything(sample), "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["coverage"]["subcategories"] == 72 and told["coverage"]["human_input_needed"] == 21
    release = next(one for one in told["artefacts"] if one["kind"] == "release")
    assert release["check"] == "verified" and set(release["shows"]) == {"release", "released"}
    assert verified(sample, out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["holds"] and report["turned"] == [] and report["coverage"] == told["coverage"]


def test_a_removed_and_a_changed_file_end_with_17_and_name_what_is_lost(
    sample: Sample, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "pack"
    assert main(words(sample, out, *everything(sample))) == 0
    (out / "package" / "sbom.cdx.json").unlink()
    (out / "gdpr_record.md").write_text("all is well")
    capsys.readouterr()
    assert verified(sample, out) == 17
    told = capsys.readouterr()
    assert "gone: 'package/sbom.cdx.json'" in told.out and "changed: 'gdpr_record.md'" in told.out
    assert "MAP 4.1" in told.out and "now not evidenced" in told.out and "2 files" in told.err


def test_a_run_alone_gives_a_pack_that_says_what_is_missing(sample: Sample, tmp_path: Path, capsys: Captured) -> None:
    assert main(words(sample, tmp_path / "pack", "--json")) == 0
    told = json.loads(capsys.readouterr().out)["artefacts"]
    reasons = {one["kind"]: one["said"] for one in told if one["check"] == "missing"}
    assert "--package" in reasons["package"] and "--site-kit" in reasons["site_policy"]
    assert "--result" in reasons["cohort_statistics"] and "--package" in reasons["release"]


def test_what_cannot_be_trusted_or_is_not_what_was_asked_for_is_an_error(
    sample: Sample, tmp_path: Path, capsys: Captured
) -> None:
    package = tmp_path / "changed.fvpkg"
    package.write_bytes(sample.package.read_bytes().replace(b"# Hippocampus", b"# Hippocampux"))
    assert main(words(sample, tmp_path / "a", "--package", str(package))) == 17
    assert main(words(sample, tmp_path / "b", "--releases", str(sample.index))) == 3
    assert main(words(sample, tmp_path / "c", "--site-kit", str(sample.kit(LEAD)))) == 3
    assert not any((tmp_path / name).exists() for name in "abc")
    assert main(["evidence", "verify", str(tmp_path), "--root", str(sample.server)]) == 17
    assert "expected a pack" in capsys.readouterr().err


def test_a_person_stands_for_a_report(sample: Sample, tmp_path: Path, capsys: Captured) -> None:
    report = tmp_path / "report.json"
    report.write_text("{}")
    assert main(["evidence", "vouch", str(report), "--sign", str(sample.kit(LEAD))]) == 0
    assert f"{LEAD} (lead) stands for report.json" in capsys.readouterr().out
    assert (tmp_path / "report.json.signature").is_file()
    assert main(["evidence", "vouch", str(report), "--sign", str(sample.kit(A))]) == 17
    assert main(["evidence", "vouch", str(sample.package), "--sign", str(sample.kit(LEAD))]) == 3


def test_the_server_does_not_sign_a_pack(sample: Sample, tmp_path: Path) -> None:
    given = words(sample, tmp_path / "pack")
    given[given.index("--sign") + 1] = str(sample.server)
    assert main(given) == 8 and not (tmp_path / "pack").exists()


def test_help_shows_an_example(capsys: Captured) -> None:
    assert main(["evidence", "--help"]) == 0
    told = capsys.readouterr().out
    assert "verify" in told and "Example" in told
