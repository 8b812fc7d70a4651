"""An experiment runs what is missing and nothing twice, and takes no result for that of another job or cohort.

In the place of a server with its hospitals stands one that leaves what those would leave: a result, and each hospital's
table of scores.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.evaluation.case_table import case_table_name, write_case_table
from fedvoxel.evaluation.experiment import load_site_cases
from fedvoxel.evaluation.summary import summarise
from fedvoxel.federation.outcome import RoundRecord, RunOutcome, write_outcome
from fedvoxel.flare.job_kinds import variant
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.ops.experiment import Experiment, ExperimentJob, read_jobs
from fedvoxel.updates.scores import CaseScore
from fedvoxel.volumes.site import SITE_FILE
from tests.blob_job import META, controller_of, executor_of, job_documents, write_job
from tests.finished_job import blob_task
from tests.sample_run import sample_outcome
from tests.training.conftest import write_site

Documents = dict[str, Any]
PERSON = Path("scientist")


class Server:
    """Ends every job at once, with Dice that grow with the seed, unless it is told to fail or to be interrupted.

    As hospitals do, it refuses secure rounds under a key under which they were summed up before.
    """

    def __init__(self, kits: dict[str, Path]) -> None:
        self.kits, self.ran, self.fails, self.interrupted = kits, [], False, False
        self.summed: set[str] = set()

    def run(self, kit: Path, folder: Path, out: Path, show: Callable[[Any], None]) -> Path:
        job = read_job_folder(folder)
        args = job.executor.executor.args
        self.ran.append((folder.name, args["run_key"], args["training"]["seed"]))
        if "secure_aggregation" in job.controller.args["rounds"]:
            if args["run_key"] in self.summed:
                raise JobError("round 0 went into a sum of this run before; give the run a new run_key")
            self.summed.add(args["run_key"])
        if self.interrupted:
            raise KeyboardInterrupt
        outcome = self._outcome(args["run_key"], args["training"]["seed"])
        result = out / f"job{len(self.ran)}"
        write_outcome(outcome, result / "workspace" / "outcome.json")
        return result

    def _outcome(self, run_key: str, seed: int) -> RunOutcome:
        test = {}
        for site, kit in self.kits.items():
            cases = load_site_cases(kit / "local" / SITE_FILE, blob_task()).test
            scores = [CaseScore(case.case, {"blob": 0.5 + 0.1 * seed}, {"blob": None}) for case in cases]
            state = kit / "state" / "runs" / run_key
            state.mkdir(parents=True, exist_ok=True)
            write_case_table(state / case_table_name("global"), scores)
            test[site] = summarise(scores)
        changed = {"run_key": run_key, "test": test, "sites": tuple(test), "rounds_planned": 1, "rounds_committed": 1}
        changed |= {"rounds": (RoundRecord(round=0, seconds=1.0, bytes_up=10, bytes_down=20),), "best_round": None}
        failed = {"status": "failed", "reason": "no quorum"} if self.fails else {}
        return sample_outcome().model_copy(update=changed | failed)


@pytest.fixture
def kits(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for site in ("hospital-a", "hospital-b"):
        made[site] = tmp_path / "kits" / site
        (made[site] / "local").mkdir(parents=True)
        write_site(made[site] / "local", 12)
    return made


@pytest.fixture
def server(kits: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(kits)
    monkeypatch.setattr("fedvoxel.ops.experiment.run_with_kit", made.run)
    return made


def job(folder: Path, name: str, secure: bool = False, **training: Any) -> Path:
    documents = job_documents(**training)
    documents[META]["name"] = name
    if secure:
        rounds = {"num_rounds": 1, "min_sites": 3, "secure_aggregation": {"dropouts": 0}}
        controller_of(documents)["args"]["rounds"] = rounds
        executor_of(documents)["tasks"] += ["secure_keys", "secure_shares", "secure_confirm", "secure_reveal"]
    return write_job(folder / name, documents)


def carry_out(experiment: Experiment) -> None:
    for one, seed in experiment.missing:
        experiment.run(one, seed, PERSON, lambda snapshot: None)


def test_every_job_runs_with_every_seed_and_none_twice(server: Server, kits: dict[str, Path], tmp_path: Path) -> None:
    jobs = read_jobs([job(tmp_path, "plain"), job(tmp_path, "near", proximal_mu=0.1)])
    carry_out(Experiment(jobs, [1, 2], kits, tmp_path / "out"))
    assert [(name, seed) for name, _, seed in server.ran] == [
        (f"{name}_seed{seed}", seed) for seed in (1, 2) for name in ("plain", "near")
    ]
    keys = [key for _, key, _ in server.ran]
    assert len(set(keys)) == 4, "runs of one key would share the hospitals' state"
    assert [re.sub(r"_[0-9a-f]{8}$", "", key) for key in keys] == ["blobs_seed1"] * 2 + ["blobs_seed2"] * 2
    again = Experiment(read_jobs([tmp_path / "plain", tmp_path / "near"]), [1, 2, 3], kits, tmp_path / "out")
    assert [(one.name, seed) for one, seed in again.missing] == [("plain", 3), ("near", 3)]
    first = Experiment(jobs, [1, 2], kits, tmp_path / "out")
    assert first.missing == []
    made = first.compare()
    assert [row.dice for row in made.rows] == [pytest.approx(0.65)] * 2
    assert made.differences[0].mean == pytest.approx(0.0)
    assert (made.rows[0].bytes_up, made.seeds) == (10, (1, 2))


def test_what_has_changed_is_run_again(server: Server, kits: dict[str, Path], tmp_path: Path) -> None:
    jobs, out = read_jobs([job(tmp_path, "plain")]), tmp_path / "out"
    carry_out(Experiment(jobs, [1], kits, out))
    other = read_jobs([job(tmp_path / "other", "plain", batch_size=2)])
    assert len(Experiment(other, [1], kits, out).missing) == 1
    (out / "results" / "job1").rename(out / "results" / "moved")
    assert len(Experiment(jobs, [1], kits, out).missing) == 1
    (out / "results" / "moved").rename(out / "results" / "job1")
    file = kits["hospital-a"] / "local" / SITE_FILE
    described = json.loads(file.read_text())
    described["cohorts"]["blobs"]["split"]["test"] = 0.4
    file.write_text(json.dumps(described))
    assert len(Experiment(jobs, [1], kits, out).missing) == 1


def test_a_failed_run_is_not_kept_and_is_tried_again(server: Server, kits: dict[str, Path], tmp_path: Path) -> None:
    experiment = Experiment(read_jobs([job(tmp_path, "plain")]), [1], kits, tmp_path / "out")
    server.fails = True
    with pytest.raises(JobError, match=r"plain \(seed 1\) failed: no quorum"):
        carry_out(experiment)
    with pytest.raises(ConfigError, match="was not run yet"):
        experiment.compare()
    server.fails = False
    carry_out(experiment)
    assert experiment.missing == []


def test_a_plain_job_keeps_its_key_and_a_long_one_has_room(
    server: Server, kits: dict[str, Path], tmp_path: Path
) -> None:
    experiment = Experiment(read_jobs([job(tmp_path, "plain")]), [1], kits, tmp_path / "out")
    server.interrupted = True
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            carry_out(experiment)
    assert len({key for _, key, _ in server.ran}) == 1
    long = variant(experiment.jobs[0].content, {"run_key": "k" * 80})
    assert len(ExperimentJob(long, blob_task(), 1).with_seed(2**32 - 1).client.run_key) <= 80 - 9


def test_an_interrupted_secure_run_begins_anew_under_another_key_and_a_finished_one_is_kept(
    server: Server, kits: dict[str, Path], tmp_path: Path
) -> None:
    jobs, out = read_jobs([job(tmp_path, "secure", secure=True)]), tmp_path / "out"
    server.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        carry_out(Experiment(jobs, [1, 2], kits, out))
    server.interrupted = False
    again = Experiment(jobs, [1, 2], kits, out)
    carry_out(again)
    assert [name for name, _, _ in server.ran] == ["secure_seed1", "secure_seed1", "secure_seed2"]
    assert again.missing == Experiment(jobs, [1, 2], kits, out).missing == []
    assert again.compare().seeds == (1, 2)
    carry_out(Experiment(jobs, [1], kits, tmp_path / "elsewhere"))


def test_own_and_pooled_models_are_trained_once(server: Server, kits: dict[str, Path], tmp_path: Path) -> None:
    experiment = Experiment(read_jobs([job(tmp_path, "plain")]), [1], kits, tmp_path / "out")
    carry_out(experiment)
    told: list[tuple[int, int]] = []
    experiment.references.train(lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    experiment.references.train(lambda done, total: told.append((done, total)))
    assert told[4:] == [(0, 0)]
    made = experiment.compare()
    assert made.pooled is not None
    assert sorted((one.gain.against, one.gain.site) for one in made.gains) == [
        (kind, site) for kind in ("local", "pooled") for site in kits
    ]
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "out" / "parts").glob("*.json")}
    assert modes == {0o600}


def _same_name(documents: Documents) -> None:
    documents[META]["name"] = "plain"


def _statistics(documents: Documents) -> None:
    controller_of(documents)["path"] = "fedvoxel.flare.statistics.StatisticsController"
    controller_of(documents)["args"] = {}
    executor_of(documents)["executor"]["path"] = "fedvoxel.flare.statistics.StatisticsExecutor"
    executor_of(documents)["tasks"] = ["statistics"]
    executor_of(documents)["executor"]["args"] = {"cohort": "blobs", "classes": ["blob"]}


def _other_plan(documents: Documents) -> None:
    executor_of(documents)["executor"]["args"]["plan"] = {"spacing_mm": [1, 1, 2]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_same_name, "jobs with names of their own, got plain, plain"),
        (_statistics, "other trains nothing"),
        (_other_plan, r"plain and other cannot be compared: plan.spacing_mm is None in plain and \[1"),
    ],
)
def test_jobs_that_do_not_compare_are_refused(change: Callable[[Documents], None], said: str, tmp_path: Path) -> None:
    documents = job_documents()
    documents[META]["name"] = "other"
    change(documents)
    with pytest.raises(ConfigError, match=said):
        read_jobs([job(tmp_path, "plain"), write_job(tmp_path / "other", documents)])
