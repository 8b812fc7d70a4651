"""Ten seeded faults on real processes, each on machines of their own; the long run is `scripts/benchmark chaos`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos.consortium import open_machines
from benchmarks.chaos.machines import why_not
from benchmarks.chaos.plan import plan
from benchmarks.chaos.results import lines_of
from benchmarks.chaos.run import Campaign

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")

SITES = ("hospital-a", "hospital-b", "hospital-c")
SEED, JOBS, FAULTS = 7, 2, 10


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Three hospitals and a server, and a run without faults to hold the others against."""
    folder = tmp_path_factory.mktemp("chaos")
    said: list[str] = []
    with open_machines(folder, SITES) as machines:
        made = Campaign(machines, folder / "results.jsonl", said.append, rounds=60, epochs=1)
        reference = made.first()
        assert reference["violations"] == [] and reference["outcome"] == "finished", said
        yield made


def test_ten_faults_cost_no_committed_round_no_chain_and_no_person(campaign: Campaign, tmp_path: Path) -> None:
    for faults in plan(SEED, JOBS, FAULTS, SITES):
        campaign.job(faults)
    lines = lines_of(campaign.results)
    struck = [line for line in lines if "kind" in line]
    assert len(struck) == FAULTS
    assert [(line.get("name") or line["run"], line["violations"]) for line in lines if line["violations"]] == []
    assert [line.get("name") or line["run"] for line in lines if line["needed_person"]] == []
    assert [line["name"] for line in struck if not line["survived"]] == []
