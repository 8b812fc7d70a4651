"""FedVoxel's trainer in plain Flower: real messages, real training, and no cohort that its hospital protects."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TooFewError
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.governance.incidents.switches import halt
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PrivacyPolicy, PublicCohort, grant, write_privacy_policy
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.training.trainer import Trainer
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.site import load_site_config
from tests.flower_apps import needs_flower
from tests.training.conftest import make_setup, training_section, write_site

pytestmark = needs_flower


def hospital(folder: Path, decided: Any = None) -> Path:
    """Makes a kit with blobs and returns its site file."""
    local = folder / "local"
    local.mkdir(parents=True)
    file = write_site(local)
    write_privacy_policy(local, PrivacyPolicy(schema_version=1))
    grant(local, "blobs", decided or NoBudget())
    return file


def task(**changes: Any) -> TrainingTask:
    said = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training_section()} | changes
    return parse_config(TrainingTask, said, "the test's task")


def first_model(of: TrainingTask) -> dict[str, np.ndarray]:
    return get_weights(build_network(of.training.network, 2, of.training.seed))


def run(files: dict[int, Path], rounds: int = 2, **changes: Any) -> tuple[Any, Any, Any]:
    """Runs our strategy with our app at each node; returns the strategy, Flower's result, and the nodes."""
    from flwr.app import Array, ArrayRecord

    from fedvoxel.ops.flower.client_app import client_app
    from fedvoxel.ops.flower.strategy import FedVoxelStrategy
    from tests.ops.flower.nodes import Nodes, begin

    begin()
    wanted = task(**changes)
    told = {node: {"site": f"hospital-{node}", "site-file": str(file)} for node, file in files.items()}
    nodes = Nodes({node: client_app(wanted) for node in files}, told)
    strategy = FedVoxelStrategy(RoundsConfig(num_rounds=rounds, min_sites=2))
    first = ArrayRecord({name: Array(array) for name, array in first_model(wanted).items()})
    return strategy, strategy.run(nodes, first), nodes


def test_two_hospitals_train_and_score_as_in_a_job(tmp_path: Path) -> None:
    files = {1: hospital(tmp_path / "a"), 2: hospital(tmp_path / "b", PublicCohort())}
    strategy, result, _ = run(files, rounds=1)
    assert strategy.refused == [{}]
    assert 0 <= dict(result.evaluate_metrics_clientapp[1])["dice"] <= 1 and strategy.best_model is not None
    updates = []
    for node, file in files.items():
        setup: TrainerSetup = make_setup(file)
        cases, _ = load_cases(load_site_config(file), "blobs", ("blob",), setup.task.plan, "training", file.parent)
        trainer = Trainer(setup.task.training, ("blob",), cases, f"hospital-{node}", "cpu")
        updates.append(trainer.train_round(first_model(task()), 0, 1))
    weights = [update.case_count for update in updates]
    for name, array in first_model(task()).items():
        mean = np.average([update.arrays[name] for update in updates], axis=0, weights=weights)
        np.testing.assert_allclose(result.arrays[name].numpy(), array + mean, atol=1e-6)


def test_moments_live_on_from_message_to_message_in_the_runs_folder(tmp_path: Path) -> None:
    files = {1: hospital(tmp_path / "a"), 2: hospital(tmp_path / "b")}
    run(files)
    folder = tmp_path / "a" / "state" / "runs" / "flower-1"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.glob("moments*")), "the optimiser's moments"
    assert (folder / "patients" / "used.jsonl").is_file(), "and who was used"


@pytest.mark.parametrize(
    "decided",
    [CohortBudget(unit="patient", epsilon=8, delta=1e-3), CohortBudget(unit="hospital", epsilon=8, delta=1e-3),
     NoBudget(in_sums=InSums(least_sites=3, partners=("a", "b", "c")))],
)  # fmt: skip
def test_a_cohort_that_its_hospital_protects_is_not_trained_on(tmp_path: Path, decided: Any) -> None:
    files = {1: hospital(tmp_path / "a"), 2: hospital(tmp_path / "b", decided)}
    with pytest.raises(TooFewError, match="1 of the 2 sites"):
        run(files)
    assert not (tmp_path / "b" / "state").exists()


def errors_of(files: dict[int, Path], **changes: Any) -> str:
    from tests.ops.flower.nodes import Nodes

    seen: list[str] = []
    kept, Nodes._reply = Nodes._reply, lambda self, message: _noting(seen, kept(self, message))  # type: ignore[method-assign]
    try:
        with pytest.raises(TooFewError):
            run(files, **changes)
    finally:
        Nodes._reply = kept  # type: ignore[method-assign]
    return " ".join(seen)


def _noting(seen: list[str], reply: Any) -> Any:
    if reply.has_error():
        seen.append(reply.error.reason)
    return reply


def test_an_incident_stops_it_and_a_cohort_without_a_decision_is_none(tmp_path: Path) -> None:
    files = {1: hospital(tmp_path / "a"), 2: hospital(tmp_path / "b")}
    halt(tmp_path / "a" / "state")
    write_privacy_policy(tmp_path / "b" / "local", PrivacyPolicy(schema_version=1))
    told = errors_of(files)
    assert "all jobs are stopped here" in told and "no entry for cohort 'blobs'" in told


def test_what_is_told_of_an_error_names_no_file(tmp_path: Path) -> None:
    files = {1: hospital(tmp_path / "Mueller"), 2: hospital(tmp_path / "b")}
    for image in (tmp_path / "Mueller" / "local").glob("image*"):
        image.write_bytes(b"not an image")
    (tmp_path / "b" / "state").write_text("no folder")
    told = errors_of(files)
    assert "no usable case" in told and "Mueller" not in told
    assert "unexpected FileExistsError at this node" in told or "unexpected NotADirectoryError at this node" in told
    assert str(tmp_path) not in told


HOSPITAL = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 1.0, "sites": 3, "delta": 1e-3}
PLAIN = {key: training_section()[key] for key in ("network", "sampling", "inference")}


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("privacy", {"privacy": HOSPITAL}),
        ("training.flower", {"training": PLAIN | {"flower": {"app": "unet"}}}),
        ("training.site_local", {"training": training_section(site_local=["*.bias"])}),
        ("training.personal", {"training": training_section(personal={"name": "ditto"})}),
    ],
)
def test_what_only_a_job_can_keep_is_refused(key: str, changes: dict[str, Any]) -> None:
    from fedvoxel.ops.flower.client_app import client_app

    with pytest.raises(ConfigError, match=f"^{key}: belongs to a FedVoxel job"):
        client_app(task(**changes))


def test_a_node_has_to_say_which_hospital_it_is(tmp_path: Path) -> None:
    from flwr.app import Context, RecordDict

    from fedvoxel.ops.flower.client_app import told_to_the_node

    with pytest.raises(ConfigError, match="--node-config"):
        told_to_the_node(Context(1, 1, {"site": "hospital-a"}, RecordDict(), {}))


def test_with_another_strategy_it_says_which_one_it_goes_with(tmp_path: Path) -> None:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict

    from fedvoxel.ops.flower.client_app import client_app
    from tests.ops.flower.nodes import begin

    begin()
    told = {"site": "hospital-a", "site-file": str(hospital(tmp_path / "a"))}
    content = RecordDict({"arrays": ArrayRecord(), "config": ConfigRecord({"server-round": 1})})
    message = Message(content=content, dst_node_id=1, message_type="train")
    with pytest.raises(ConfigError, match="goes with FedVoxelStrategy"):
        client_app(task())(message, Context(1, 1, told, RecordDict(), {}))
