"""An experiment of two jobs over real processes; repeated, it runs nothing again and says the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SCIENTIST, SITES, SystemUnderTest, job_variant


@pytest.mark.slow
def test_two_jobs_are_compared_and_a_repeated_command_runs_nothing(system: SystemUnderTest, tmp_path: Path) -> None:
    plain = job_variant(tmp_path, "compared_plain", 2)
    ditto = job_variant(tmp_path, "compared_ditto", 2, training={"personal": {"name": "ditto", "strength": 0.1}})
    command = [sys.executable, "-m", "fedvoxel.cli.main", "experiment", "compare", str(plain), str(ditto)]
    command += ["--seeds", "1,2", "--kit", str(system.kit(SCIENTIST)), "--out", str(tmp_path / "out"), "--json"]
    for site in SITES:
        command += ["--site", str(system.kit(site))]
    said = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580) for _ in range(2)]
    for done in said:
        assert done.returncode == 0, done.stderr[-2000:]
    assert said[0].stdout == said[1].stdout
    assert said[0].stderr.count("run 1 of 4") == 1 and "run 1 of" not in said[1].stderr
    found = json.loads(said[0].stdout)
    assert [(row["job"], row["personal"]) for row in found["rows"]] == [
        ("compared_plain", False),
        ("compared_ditto", True),
    ]
    assert {one["gain"]["against"] for one in found["gains"]} == {"local", "pooled"}
    cases = sum(1 for _ in SITES) * 2
    assert found["differences"][0]["cases"] == cases
    assert len(os.listdir(tmp_path / "out" / "results")) == 4
    assert (tmp_path / "out" / "comparison.html").is_file()
