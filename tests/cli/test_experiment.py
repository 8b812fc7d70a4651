"""`fedvoxel experiment compare` as a person and as a script call it: what it shows, writes and refuses."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.experiment_view import show_comparison
from fedvoxel.cli.main import main
from fedvoxel.evaluation.comparison.page import write_comparison
from fedvoxel.evaluation.comparison.table import References, compare_jobs
from tests.blob_job import META, executor_of, job_documents, write_job
from tests.evaluation.comparison.test_table import SITES, scores, trial

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def jobs(tmp_path: Path) -> list[str]:
    made = []
    for name in ("plain", "near"):
        documents = job_documents()
        documents[META]["name"] = name
        made.append(str(write_job(tmp_path / name, documents)))
    return made


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 3, "expected either --here, or --kit"),
        (["--here", "--kit", "k"], 3, "expected either --here, or --kit"),
        (["--here", "--site", "k"], 3, "--site goes with --kit"),
        (["--here", "--seeds", "1,one"], 3, "--seeds '1,one': expected different whole numbers"),
        (["--here", "--seeds", "1,1"], 3, "--seeds '1,1': expected different whole numbers"),
        (["--here", "--seeds", "-1"], 3, "expected different whole numbers from 0"),
        (["--here"], 3, "--here has data for the cohorts hippocampus, spinal_cord, brain_demo; for blobs use --kit"),
        (["--kit", "nowhere"], 8, "nowhere"),
    ],
)
def test_refuses_in_one_line(
    words: list[str], code: int, said: str, jobs: list[str], tmp_path: Path, capsys: Shown, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["experiment", "compare", *jobs, "--out", str(tmp_path / "out"), *words]) == code
    streams = capsys.readouterr()
    assert said in streams.err
    assert streams.err.count("\n") == 1


def test_jobs_that_differ_are_refused_before_anything_is_made(jobs: list[str], tmp_path: Path, capsys: Shown) -> None:
    documents = job_documents()
    executor_of(documents)["executor"]["args"]["cohort"] = "others"
    documents[META]["name"] = "other"
    other = write_job(tmp_path / "other", documents)
    out = tmp_path / "out"
    assert main(["experiment", "compare", jobs[0], str(other), "--here", "--out", str(out)]) == 3
    assert "plain and other cannot be compared: cohort is 'blobs' in plain and 'others' in other" in (
        capsys.readouterr().err
    )
    assert not out.exists()


def test_help_has_an_example(capsys: Shown) -> None:
    assert main(["experiment", "compare", "--help"]) == 0
    assert "fedvoxel experiment compare jobs/hippocampus_fedavg" in " ".join(capsys.readouterr().out.split())


def test_the_table_is_shown_with_what_may_be_claimed(tmp_path: Path) -> None:
    from rich.console import Console

    trials = [trial("[red]a", 1, 0.80), trial("ditto", 1, 0.85)]
    references = References({1: {site: scores(0.79)[site] for site in SITES}}, {1: scores(0.84)})
    made = compare_jobs("hippocampus", ("anterior", "posterior"), trials, references)
    paths = write_comparison(tmp_path, made)
    console = Console(width=200, record=True, file=StringIO())
    show_comparison(console, made, paths)
    shown = console.export_text()
    assert "[red]a" in shown and "ditto minus [red]a: +0.050" in shown
    assert f"{made.rows[0].dice:.4f}" in shown and f"Pooled (all cases in one place): {made.pooled:.4f}" in shown
    assert "hospital-a gained" in shown and "! One seed" in shown
    assert str(paths.html) in shown
    assert json.loads(paths.json.read_text())["cohort"] == "hippocampus"
