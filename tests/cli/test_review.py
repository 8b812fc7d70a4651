"""`fedvoxel review` as a person calls it, in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.cli.main import main
from fedvoxel.export.publishing import Publisher
from fedvoxel.review.server import listening
from tests.cli.test_cohort import write_site
from tests.evaluation.cohorts.cohort_folders import write_cohort
from tests.evaluation.inference.bright_studies import RANGES, bright_study
from tests.export.package_sample import sample_package, sample_root, sample_signer, sample_trust
from tests.review.hospital_provider import hospital_provider
from tests.review.oidc_sample import write_settings
from tests.review.reading_sample import said, write_reading
from tests.volumes.scans import csv_cohort

ROOT = Path(__file__).resolve().parents[2]

COMMAND = [sys.executable, "-m", "fedvoxel.cli.main", "review"]


@contextmanager
def running(*arguments: str, folder: Path) -> Iterator[list[dict[str, str]]]:
    """Starts the page and yields each reader's link; ends it as Ctrl-C does."""
    readers = max(arguments.count("--reader"), 1)
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        links = [json.loads(process.stdout.readline()) for _ in range(readers)]
        yield links
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
        assert "Traceback" not in said, said


@contextmanager
def entered(link: str) -> Iterator[httpx.Client]:
    host = link.split("/enter")[0]
    with httpx.Client(base_url=host, headers={"origin": host}, timeout=60.0) as client:
        assert client.get(link).status_code == 303
        yield client


def withdrawn_in(index: Path, package: Path) -> Path:
    lead, now = Publisher(index, sample_signer(), sample_trust(), index.parent / "lead.json"), datetime.now(UTC)
    lead.publish(package, "released", "good", now)
    lead.set_state("hippocampus", "1.0.0", "withdrawn", "misses small ones", now)
    return index


def test_two_readers_read_go_on_and_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reading(tmp_path / "prepared", cases=2)
    arguments = ("prepared", "--reader", "anna", "--reader", "ben", "--out", "study")
    for _ in range(2):
        with running(*arguments, folder=tmp_path) as links:
            for link in links:
                with entered(link["link"]) as client:
                    reading = client.get("/api/reading").json()
                    assert reading["reader"] == link["reader"]
                    case = next(case["case"] for case in reading["cases"] if case["status"] != "done")
                    visit = client.post(f"/api/cases/{case}/visit").json()["visit"]
                    body = {"visit": visit, "active_s": 1, "said": said(model="accept", manual="reject")}
                    assert client.post(f"/api/cases/{case}/answer", json=body).json()["done"] >= 1
    assert main(["review", "export", str(tmp_path / "study")]) == 0
    told = capsys.readouterr().out
    assert "8 answers, 0 corrected" in told and "anna and ben on model: same verdict in 2 of 2 cases" in told
    assert main(["review", "export", str(tmp_path / "study"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["candidates"][0]["candidate"] == "manual"
    assert main(["review", "prepared", "--out", str(tmp_path / "study")]) == 3


def test_another_study_is_not_mixed_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reading(tmp_path / "prepared", cases=1)
    with running("prepared", "--out", "study", "--seed", "7", "--blinded", folder=tmp_path):
        pass
    assert main(["review", str(tmp_path / "prepared"), "--out", str(tmp_path / "study")]) == 19
    assert "other settings (blinded, seed)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("readers", "code", "text"), [(["Mary Miller"], 3, "readers.0"), (["anna", "anna"], 19, "different names")]
)
def test_readers_have_short_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], readers: list[str], code: int, text: str
) -> None:
    write_reading(tmp_path / "prepared", cases=1)
    named = [word for reader in readers for word in ("--reader", reader)]
    assert main(["review", str(tmp_path / "prepared"), "--out", str(tmp_path / "study"), *named]) == code
    assert text in capsys.readouterr().err


def test_it_listens_on_this_machine_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reading(tmp_path / "prepared", cases=1)
    with running("prepared", folder=tmp_path) as links:
        port = httpx.URL(links[0]["link"]).port
        listening_on = {
            line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if f":{port:04X} " in line
        }
        assert {address.split(":")[0] for address in listening_on if address.endswith(f":{port:04X}")} == {"0100007F"}
        assert f":{port:04X} " not in Path("/proc/net/tcp6").read_text()
    with listening(0) as taken:
        port = taken.getsockname()[1]
        assert main(["review", str(tmp_path / "prepared"), "--out", str(tmp_path / "two"), "--port", str(port)]) == 19
    assert "--port" in capsys.readouterr().err


def test_readers_sign_in_at_the_hospital_and_no_link_is_printed(tmp_path: Path) -> None:
    write_reading(tmp_path / "prepared", cases=1)
    with hospital_provider() as provider, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        write_settings(tmp_path, provider.issuer, port)
        arguments = ("prepared", "--oidc", "oidc.json", "--port", str(port), "--out", "study")
        host = f"http://127.0.0.1:{port}"
        with running(*arguments, folder=tmp_path) as said, httpx.Client(base_url=host, follow_redirects=True) as client:
            assert said == [{"sign_in": f"{host}/", "port": port}]
            assert "Signed in" in client.get("/").text
            assert client.get("/api/reading").json()["reader"] == "anna"
    assert json.loads((tmp_path / "study/study.json").read_text())["readers"] == ["anna"]


def test_a_provider_that_is_down_is_said_at_the_start(tmp_path: Path) -> None:
    write_reading(tmp_path / "prepared", cases=1)
    write_settings(tmp_path, "http://127.0.0.1:9", 8000)
    command = [*COMMAND, "prepared", "--oidc", "oidc.json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    warned = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=30)[0]
    assert "warning: nobody can sign in yet" in warned and "description:ConnectError" in warned
    assert "Readers sign in at http://127.0.0.1:8000/" in told and "token=" not in told


@pytest.mark.parametrize(
    ("arguments", "changes", "text"),
    [
        (["--reader", "anna", "--reader", "ben"], {}, "it lacks ben"),
        ([], {"readers": {"anna": "1", "ben": "1"}}, "one person each"),
        ([], {"public_url": "http://review.hospital.example"}, "public_url"),
        ([], {"client_secret_file": "nowhere"}, "client_secret_file"),
    ],
)
def test_a_wrong_file_of_the_sign_in_ends_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], changes: dict[str, Any], text: str
) -> None:
    write_reading(tmp_path / "prepared", cases=1)
    file = write_settings(tmp_path, "https://login.hospital.example", 8000, **changes)
    command = ["review", str(tmp_path / "prepared"), "--out", str(tmp_path / "study"), "--oidc", str(file), *arguments]
    assert main(command) == 3
    assert text in capsys.readouterr().err and not (tmp_path / "study").exists()


def test_a_sites_cohort_is_read(tmp_path: Path) -> None:
    write_cohort(tmp_path, 2, Manufacturer="Siemens")
    site = write_site(tmp_path, hippocampus=csv_cohort())
    with running("hippocampus", "--site", str(site), folder=tmp_path) as links, entered(links[0]["link"]) as client:
        cases = client.get("/api/reading").json()["cases"]
        assert len(cases) == 2 and all(case["case"].startswith("case-") for case in cases)
        facts = client.post(f"/api/cases/{cases[0]['case']}/visit").json()
        assert facts["candidates"] == ["manual"]


def test_a_signed_model_is_used_on_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bright_study(tmp_path / "studies")
    wanted = {"modalities": ["MR"], "body_parts": ["HEAD", "BRAIN"], **RANGES}
    package = str(sample_package(tmp_path, input=wanted).path)
    root = tmp_path / "root.pem"
    root.write_bytes(sample_root().certificate.public_bytes(Encoding.PEM))
    assert main(["review", package, str(tmp_path / "studies"), "--out", str(tmp_path / "study")]) == 3
    assert "--root" in capsys.readouterr().err
    arguments = (package, "studies", "--root", str(root), "--out", "study")
    with running(*arguments, folder=tmp_path) as links, entered(links[0]["link"]) as client:
        reading = client.get("/api/reading").json()
        assert "No index of releases was consulted" in reading["remarks"][0]
        (case,) = reading["cases"]
        while case["waiting"] in ("Waits for the model", "The model is at work"):
            (case,) = client.get("/api/reading").json()["cases"]
        assert case["waiting"] is None
        assert client.post(f"/api/cases/{case['case']}/visit").json()["volumes_ml"]["model"]["anterior"] > 0
    index = withdrawn_in(tmp_path / "releases", Path(package))
    assert main(["review", package, str(tmp_path / "studies"), "--root", str(root), "--releases", str(index)]) == 17
    assert "misses small ones" in capsys.readouterr().err
    content = Path(package).read_bytes()
    Path(package).write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert main(["review", package, str(tmp_path / "studies"), "--root", str(root)]) == 17


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere"], 3, "reading.json"),
        (["nowhere", "--oidc", "none.json"], 3, "the file of --oidc is missing"),
        (["export", "nowhere"], 3, "study.json"),
        (["one", "two", "three"], 2, "a package and a cohort"),
        (["setup", "--tarball", "nothing.tgz"], 11, "cannot be read"),
    ],
)
def test_what_goes_wrong_has_its_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["review", *arguments]) == code
    assert text in capsys.readouterr().err


def test_help_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["start"], ["setup"], ["export"]):
        assert main(["review", *arguments, "--help"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "Example: fedvoxel review" in told and ("--oidc" in told) == (arguments == ["start"])


def test_a_clinicians_machine_needs_no_torch(tmp_path: Path) -> None:
    """Everything that answers a reader is imported, and used once; nothing of the training room comes with it."""
    write_reading(tmp_path / "prepared", cases=1)
    code = """
import sys
from pathlib import Path
import fedvoxel.review.model_reading, fedvoxel.review.result_objects, fedvoxel.review.server, fedvoxel.cli.review
from fedvoxel.evaluation.inference.objects import reviewed_objects
from tests.review.reading_sample import Page, desk_of
page = Page(desk_of(Path("prepared"), Path("study")))
page.visit("case-000000000000")
assert page.get("/api/cases/case-000000000000/image/axial/1.png?low=0&high=9").status_code == 200
page.close()
print([name for name in ("torch", "monai", "nvflare", "matplotlib") if name in sys.modules])
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'app_custom'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("fastapi", "httpx", "joserfc", "numpy", "nibabel", "fedvoxel.review", "fedvoxel.evaluation")
    code = f"import sys, fedvoxel.cli.review\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
