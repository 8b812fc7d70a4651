import json
import os
import re
import shutil
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.export.package import open_package
from fedvoxel.export.publishing import Publisher
from tests.evaluation.judgement.made_up import (
    NAME,
    breaking_package,
    image,
    package,
    right_scans,
    root_file,
    truth,
    write_site,
)
from tests.export.package_sample import sample_signer, sample_trust


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package, its root, and a hospital with seven scans, in one of which a structure is missed."""
    folder = tmp_path_factory.mktemp("hospital")
    package(folder)
    root_file(folder)
    label = truth()
    missed = label.copy()
    missed[missed == 2] = 0
    write_site(folder / "north", [*right_scans(6), (image(missed), label)])
    return folder


def arguments(folder: Path, out: Path, *more: str) -> list[str]:
    site = str(folder / "north" / "local" / "fedvoxel_site.json")
    base = ["evaluate", str(folder / "hippocampus-1.0.0.fvpkg"), "brains", "--site", site]
    return [*base, "--root", str(folder / "rootCA.pem"), "--out", str(out), "--threads", "1", *more]


def test_the_report_is_whole_closed_and_private(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(arguments(hospital, out)) == 0
    said = capsys.readouterr().out
    assert "! No index of releases was consulted" in said
    assert "missed in 1 of 7 cases" in " ".join(said.split()) and "Next: open it in a browser" in said
    assert sorted(os.listdir(out)) == ["evaluation.html", "evaluation.json", "evaluation.pdf", "to_share.json"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE((out / name).stat().st_mode) for name in os.listdir(out)} == {0o600}
    page = (out / "evaluation.html").read_text()
    assert "default-src 'none'" in page and "<script" not in page
    assert not re.search(r"https?://|\bstyle=|@import|url\(", page)
    assert set(re.findall(r'(?:src|href)="([a-z]+:|#)', page)) <= {"data:", "#"}
    assert page.count('<article class="card"') == 7
    assert (out / "evaluation.pdf").read_bytes().startswith(b"%PDF-")
    for name in ("evaluation.html", "evaluation.json", "to_share.json"):
        assert "MUSTERMANN" not in (out / name).read_text() and str(hospital) not in (out / name).read_text()
    assert "case-" not in (out / "to_share.json").read_text()


def complaints(page: Path, folder: Path) -> list[str]:
    """What a browser says of a page: what its policy does not let it do, what it could not load."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--enable-logging=stderr", "--dump-dom", f"--user-data-dir={folder / page.stem}", page.as_uri()]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment)
    assert "Worst cases first" in done.stdout
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_opens_the_page_without_a_complaint(hospital: Path, tmp_path: Path) -> None:
    assert main(arguments(hospital, tmp_path / "out", "--no-pdf", "--worst", "1")) == 0
    page = tmp_path / "out" / "evaluation.html"
    assert complaints(page, tmp_path) == []
    other = tmp_path / "other.html"
    other.write_text(page.read_text().replace("<main>", '<main style="color: red">'))
    assert any("Content Security Policy" in line for line in complaints(other, tmp_path))


def test_what_the_index_of_releases_says_is_in_the_report(hospital: Path, tmp_path: Path) -> None:
    made, index, now = hospital / "hippocampus-1.0.0.fvpkg", tmp_path / "releases", datetime.now(UTC)
    lead = Publisher(index, sample_signer(), sample_trust(), tmp_path / "lead.json")
    lead.publish(made, "candidate", "to be evaluated", now)
    asked = ["--no-pdf", "--worst", "0", "--releases", str(index)]
    assert main(arguments(hospital, tmp_path / "one", *asked)) == 0
    cautions = json.loads((tmp_path / "one" / "evaluation.json").read_text())["cautions"]
    assert "is candidate" in cautions[-1] and "No index" not in str(cautions)
    assert "is candidate" in (tmp_path / "one" / "evaluation.html").read_text()
    assert "is candidate" not in (tmp_path / "one" / "to_share.json").read_text()
    lead.set_state("hippocampus", "1.0.0", "withdrawn", "misses small ones", now)
    assert main(arguments(hospital, tmp_path / "two", *asked)) == 17
    assert not (tmp_path / "two").exists()


def test_json_alone_is_what_was_written(hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(hospital, tmp_path / "out", "--no-pdf", "--json", "--worst", "0")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert shown["cases"][0]["scores"]["posterior"]["finding"] == "missed"
    assert not (tmp_path / "out" / "evaluation.pdf").exists()


def test_a_case_that_fails_gives_its_code_after_the_report(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package(tmp_path)
    root_file(tmp_path)
    write_site(tmp_path / "north", right_scans(6))
    (tmp_path / "north" / f"{NAME}-1_image.nii.gz").write_bytes(b"no scan")
    assert main(arguments(tmp_path, tmp_path / "out", "--no-pdf")) == 4
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"not judged: case-[0-9a-f]{12} at north: image: .*export the case again", said)
    assert NAME not in said


def test_a_margin_stands_once_there_is_a_result(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package(tmp_path, version="0.9.0")
    asked = ["--no-pdf", "--against", str(tmp_path / "hippocampus-0.9.0.fvpkg"), "--margin"]
    assert main(arguments(hospital, tmp_path / "one", *asked, "0.02")) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "non-inferior at a margin of 0.02" in said
    shared = json.loads((tmp_path / "one" / "to_share.json").read_text())
    other = open_package(tmp_path / "hippocampus-0.9.0.fvpkg", sample_trust())
    assert shared["schema_version"] == 2 and shared["comparison"]["package_sha256"] == other.sha256
    assert "against hippocampus 0.9.0, anterior: dice 0.000 (0.000 to 0.000), p = 1.000" in said
    assert main(arguments(hospital, tmp_path / "two", *asked, "0.05")) == 3
    assert "has a result already, under a margin of 0.02" in capsys.readouterr().err
    assert not (tmp_path / "two" / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        (["--margin", "0.02"], 3, "--against or --reader with --margin"),
        (["--pieces", "liver"], 3, "structures of the model"),
        (["--images", "."], 3, "got both"),
        (["--split", "training"], 5, "no case of the training split"),
        (["--minimum-patients", "4"], 2, "4 is not in the range"),
        (["--reader", "nobody"], 5, "neither a cohort"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], code: int, words: str
) -> None:
    assert main(arguments(hospital, tmp_path / "out", "--no-pdf", *wrong)) == code
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_a_folder_that_others_may_enter_is_refused_before_the_work(
    hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open" / "something").touch()
    assert main(arguments(hospital, tmp_path / "open", "--no-pdf")) == 5
    assert "chmod 700" in capsys.readouterr().err


def test_another_root_is_not_trusted(hospital: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    from tests.export.throwaway_root import Root

    other = tmp_path / "rootCA.pem"
    other.write_bytes(Root().certificate.public_bytes(Encoding.PEM))
    asked = [str(other) if word.endswith("rootCA.pem") else word for word in arguments(hospital, tmp_path / "out")]
    assert main(asked) == 17
    assert not (tmp_path / "out").exists()


def test_a_model_that_fails_on_a_case_ends_with_a_code_after_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    breaking_package(tmp_path, version="1.0.0")
    root_file(tmp_path)
    shown = truth()
    shown[0, 0, 0] = 3
    write_site(tmp_path / "north", [*right_scans(5), (image(shown), truth())])
    assert main(arguments(tmp_path, tmp_path / "out", "--no-pdf")) == 18
    assert "The model failed on 1 case" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "out" / "to_share.json").is_file()
