"""What a job's components and arguments may be, variants of jobs, and that FLARE takes what is written."""

import io
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.federation.promise import Promise
from fedvoxel.flare.job_args import SiteArgs
from fedvoxel.flare.job_claim import claim_of_job
from fedvoxel.flare.job_kinds import KINDS, understand, variant
from fedvoxel.flare.job_probe import probe_folder
from fedvoxel.governance.job_folder import parse_job, read_job_folder, write_job_folder
from tests.blob_job import CLIENT, META, SERVER, controller_of, executor_of, job_documents, write_job
from tests.private_section import PRIVACY

JOBS = sorted(path.parent for path in (Path(__file__).parents[2] / "jobs").glob("*/meta.json"))
Change = Callable[[dict[str, Any]], object]


def _training(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = executor_of(job)["executor"]["args"]["training"]
    return found


def _flare_accepts(folder: Path) -> None:
    """Judges a job folder as FLARE's server does when submit_job brings it."""
    from nvflare.private.fed.server.job_meta_validator import JobMetaValidator

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in [folder, *sorted(folder.rglob("*"))]:
            archive.write(path, path.relative_to(folder.parent))
    valid, problem, meta = JobMetaValidator().validate(folder.name, packed.getvalue())
    assert valid, problem
    assert "byoc" not in meta


@pytest.mark.parametrize("folder", JOBS, ids=lambda folder: folder.name)
def test_a_variant_of_every_job_is_one_that_flare_takes(folder: Path, tmp_path: Path) -> None:
    made = variant(understand(read_job_folder(folder)), {"name": "other", "min_clients": 3})
    write_job_folder(made.folder, tmp_path / "other")
    _flare_accepts(tmp_path / "other")
    assert understand(read_job_folder(tmp_path / "other")).folder.meta.min_clients == 3


@pytest.mark.parametrize("folder", JOBS, ids=lambda folder: folder.name)
def test_every_job_that_protects_somebody_promises_it_and_no_other_does(folder: Path) -> None:
    content = understand(read_job_folder(folder))
    assert (content.folder.meta.promises is not None) == (getattr(content.server, "privacy", None) is not None)


def test_the_probe_of_a_job_is_a_job_that_flare_takes(tmp_path: Path) -> None:
    documents = job_documents()
    documents[META] |= {"deploy_map": {"app": ["server", "a", "b"]}, "mandatory_clients": ["b"]}
    probe = probe_folder(parse_job(documents), ["a"], 60)
    write_job_folder(probe, tmp_path / "probe")
    _flare_accepts(tmp_path / "probe")
    assert probe.meta.deploy_map == {"app": ("server", "a")} and probe.meta.min_clients == 1
    assert probe.executor.tasks == ("check",)
    asked, probed = executor_of(documents)["executor"]["args"], probe.executor.executor.args
    assert probed == {**asked, "run_key": "job_check"}


def test_the_models_have_the_arguments_of_the_components() -> None:
    import inspect

    from nvflare.fuel.utils.class_loader import load_class

    for kind in KINDS:
        for path, model in ((kind.controller, kind.server_args), (kind.executor, kind.client_args)):
            assert set(inspect.signature(load_class(path)).parameters) == set(model.model_fields), path


WRONG: list[tuple[Change, str]] = [
    (lambda job: controller_of(job).update(path="a.B"), "unknown workflow a.B; known are"),
    (lambda job: executor_of(job)["executor"].update(path="a.B"), "goes with .*SiteExecutor, got a.B"),
    (lambda job: controller_of(job)["args"].update(run_key="x"), "run_key is 'x' in .* and 'blobs' in"),
    (lambda job: controller_of(job)["args"].update(run_key="../x"), "workflow is not valid: run_key"),
    (lambda job: controller_of(job)["args"]["rounds"].pop("num_rounds"), "rounds.num_rounds: Field required"),
    (lambda job: executor_of(job).update(tasks=["train"]), "tasks lack initialize, validate"),
    (lambda job: executor_of(job)["executor"]["args"].update(classes=[]), "executor is not valid: classes"),
    (lambda job: executor_of(job)["executor"]["args"].update(classes=["a", "a"]), "a class is named twice"),
    (lambda job: executor_of(job)["executor"]["args"].update(data="/x"), "executor is not valid: data: Extra"),
    (lambda job: _training(job)["optimizer"].update(learning_rate=-1), "training.optimizer.learning_rate"),
    (lambda job: _training(job)["network"].update(name="os.system"), "training.network.name"),
    (lambda job: executor_of(job)["executor"]["args"]["plan"].update(orientation="XYZ"), "plan.orientation"),
    (
        lambda job: (
            job[META].update(deploy_map={"app": ["server", "a", "b"]}),
            controller_of(job)["args"]["rounds"].update(min_sites=3),
        ),
        "min_sites is 3, but meta.json names 2",
    ),
    (
        lambda job: (
            job[META].update(deploy_map={"app": ["server", "a", "b"]}),
            controller_of(job)["args"].update(start_from={"run_key": "x", "before_site": "b"}),
        ),
        "from before b joined, and deploy_map names b",
    ),
    (lambda job: controller_of(job)["args"].update(start_from={"run_key": "x"}), "start_from.*before_site"),
    (lambda job: controller_of(job)["args"].update(start_from={"run_key": "../x", "before_site": "b"}), "start_from"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_argument_is_named(spoil: Change, message: str) -> None:
    documents = job_documents()
    spoil(documents)
    with pytest.raises(ConfigError, match=message):
        understand(parse_job(documents))


def test_a_job_may_begin_with_a_model_from_before_a_site_that_it_does_not_name() -> None:
    documents = job_documents()
    documents[META]["deploy_map"] = {"app": ["server", "a", "b"]}
    controller_of(documents)["args"]["start_from"] = {"run_key": "x", "before_site": "c"}
    content = understand(parse_job(documents))
    condition = claim_of_job(content.folder, content.server).condition
    assert condition and condition.startswith("run x, whose model it begins with")


def test_a_variant_changes_what_is_asked_and_nothing_else() -> None:
    begun = understand(parse_job(job_documents()))
    values = {
        "name": "other",
        "run_key": "again",
        "rounds.num_rounds": 4,
        "cohort": "spinal",
        "training.optimizer.learning_rate": 0.5,
        "training.network.arguments.num_res_units": 2,
        "plan": {"orientation": "LPS"},
    }
    made = variant(begun, values)
    assert begun.folder.documents == job_documents()
    expected = job_documents()
    expected[META]["name"] = "other"
    controller_of(expected)["args"] |= {"run_key": "again", "rounds": {"num_rounds": 4, "min_sites": 2}}
    executor_of(expected)["executor"]["args"] |= {"run_key": "again", "cohort": "spinal", "plan": values["plan"]}
    _training(expected)["optimizer"]["learning_rate"] = 0.5
    _training(expected)["network"]["arguments"]["num_res_units"] = 2
    assert made.folder.documents == expected
    assert isinstance(made.client, SiteArgs) and made.client.plan.orientation == "LPS"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rounds.num_round", 4, "did you mean rounds.num_rounds"),
        ("rounds.num_rounds", "four", "rounds.num_rounds: .*integer"),
        ("min_clients", 0, "min_clients"),
        ("training", 1, "training"),
        ("format_version", 3, "unknown key"),
    ],
)
def test_a_variant_that_is_not_valid_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variant(understand(parse_job(job_documents())), {key: value})


def test_a_job_without_arguments_is_refused_and_not_a_crash(tmp_path: Path) -> None:
    documents = job_documents()
    del controller_of(documents)["args"]
    folder = write_job(tmp_path / "job", documents)
    with pytest.raises(ConfigError, match=r"rounds: Field required.*run_key: Field required"):
        understand(read_job_folder(folder))
    assert SERVER in documents and CLIENT in documents


@pytest.mark.parametrize(
    ("claimed", "done"),
    [(PRIVACY, None), (None, PRIVACY), (PRIVACY, PRIVACY | {"noise_multiplier": 1.0})],
)
def test_a_job_that_claims_what_its_sites_do_not_do_is_refused(
    claimed: dict[str, Any] | None, done: dict[str, Any] | None
) -> None:
    job = job_documents()
    controller_of(job)["args"] |= {"privacy": claimed}
    executor_of(job)["executor"]["args"]["privacy"] = done
    with pytest.raises(ConfigError, match=r"privacy sections of .* differ"):
        understand(parse_job(job))
    executor_of(job)["executor"]["args"]["privacy"] = claimed
    assert understand(parse_job(job)).kind.controller.endswith("FedAvgController")


GIVEN = {"unit": "patient", "epsilon": 100.0, "delta": 1e-3}


def promising_job(promises: Any = GIVEN, **server: Any) -> dict[str, Any]:
    """Is a job with a privacy section that keeps its promise, with changed arguments of the server."""
    job = job_documents()
    controller_of(job)["args"] |= {"privacy": PRIVACY} | server
    controller_of(job)["args"]["rounds"] |= {"evaluate": False}
    executor_of(job)["executor"]["args"]["privacy"] = controller_of(job)["args"]["privacy"]
    job[META]["promises"] = promises
    return job


def test_a_promise_that_is_kept_is_understood(tmp_path: Path) -> None:
    assert understand(parse_job(promising_job())).folder.meta.promises == Promise.model_validate(GIVEN)
    assert understand(parse_job(promising_job(start_from="public_run")))
    _flare_accepts(write_job(tmp_path / "promising", promising_job()))
    assert understand(parse_job(promising_job(GIVEN | {"delta": 2e-3}))), "less is promised than given"


@pytest.mark.parametrize(
    ("change", "given"),
    [
        ({"epsilon": 0.01}, r"gives is: \(ε = "),
        ({"delta": 1e-4}, r"δ = 0.001"),
        ({"unit": "hospital"}, "of each patient"),
    ],
)
def test_a_promise_beyond_what_the_job_gives_is_refused_with_what_it_gives(change: dict[str, Any], given: str) -> None:
    with pytest.raises(ConfigError, match=given) as refused:
        understand(parse_job(promising_job(GIVEN | change)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("server", "given"),
    [
        ({"privacy": None}, "no formal guarantee"),
        ({"privacy": PRIVACY | {"noise_multiplier": None}}, r"\(open: updates\)"),
        ({"plan_source": "statistics"}, r"\(open: preprocessing plan\)"),
        ({"choices": "private"}, r"\(open: hyper-parameters\)"),
    ],
)
def test_a_promise_of_a_job_without_a_guarantee_is_refused(server: dict[str, Any], given: str) -> None:
    with pytest.raises(ConfigError, match=given):
        understand(parse_job(promising_job(**server)))


def test_a_promise_beside_an_open_channel_is_refused() -> None:
    job = promising_job()
    controller_of(job)["args"]["rounds"]["evaluate"] = True
    with pytest.raises(ConfigError, match=r"no formal guarantee \(open: .*model choice"):
        understand(parse_job(job))
    del job[META]["promises"]
    assert understand(parse_job(job)), "without a promise it is told, not refused"


@pytest.mark.parametrize(("key", "channel"), [("plan_source", "preprocessing plan"), ("choices", "hyper-parameters")])
def test_a_promise_needs_to_say_where_the_jobs_settings_come_from(key: str, channel: str) -> None:
    job = promising_job()
    del controller_of(job)["args"][key]
    with pytest.raises(ConfigError, match=rf"\(open: {channel}\)"):
        understand(parse_job(job))


@pytest.mark.parametrize("promises", ["everything", {}, GIVEN | {"epsilon": 0}, GIVEN | {"unit": "scan"}])
def test_a_promise_that_is_none_is_refused(promises: Any) -> None:
    with pytest.raises(ConfigError, match="promises"):
        parse_job(promising_job(promises))


HOSPITAL = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": 3.0, "sites": 3, "delta": 1e-3}


@pytest.mark.parametrize(
    ("sites", "named", "least", "refused"),
    [(3, 3, 2, False), (3, None, 3, False), (3, 4, 2, True), (3, None, 4, True)],
)
def test_hospital_level_noise_is_divided_by_no_fewer_sites_than_there_are(
    sites: int, named: int | None, least: int, refused: bool
) -> None:
    job = job_documents()
    controller_of(job)["args"]["privacy"] = HOSPITAL | {"sites": sites}
    executor_of(job)["executor"]["args"]["privacy"] = HOSPITAL | {"sites": sites}
    controller_of(job)["args"]["rounds"] |= {"evaluate": False, "min_sites": least}
    if named is not None:
        job[META]["deploy_map"] = {"app": ["server", *[f"hospital-{index}" for index in range(named)]]}
    if refused:
        with pytest.raises(ConfigError, match=r"privacy\.sites is 3, but the job needs or names 4 sites"):
            understand(parse_job(job))
    else:
        assert understand(parse_job(job)).updates_needed == least


@pytest.mark.parametrize("name", ["cohort_statistics", "cross_site_evaluation", "hippocampus_calibration"])
def test_a_job_that_trains_nothing_can_promise_nothing(name: str) -> None:
    (folder,) = [folder for folder in JOBS if folder.name == name]
    documents = dict(read_job_folder(folder).documents)
    documents[META] = {**documents[META], "promises": GIVEN}
    with pytest.raises(ConfigError, match="gives is: no formal guarantee"):
        understand(parse_job(documents))


def test_a_section_that_does_not_go_with_the_servers_correction_is_refused_before_it_is_sent() -> None:
    documents = job_documents()
    controller_of(documents)["args"]["rounds"]["correction"] = {"name": "scaffold"}
    assert understand(parse_job(documents)).updates_needed
    _training(documents)["proximal_mu"] = 0.1
    with pytest.raises(ConfigError, match=r"training\.proximal_mu and rounds\.correction"):
        understand(parse_job(documents))


def test_a_model_is_fine_tuned_where_a_run_that_trains_asks_for_its_scores() -> None:
    documents = job_documents()
    _training(documents)["personal"] = {"name": "fine_tuned", "steps": 5}
    assert understand(parse_job(documents)).updates_needed
    controller_of(documents)["args"]["rounds"]["evaluate"] = False
    with pytest.raises(ConfigError, match=r"training\.personal: a model is fine-tuned when its site scores it"):
        understand(parse_job(documents))
    scored = deepcopy(dict(read_job_folder(Path(__file__).parents[2] / "jobs" / "cross_site_evaluation").documents))
    _training(scored)["personal"] = {"name": "ditto"}
    with pytest.raises(ConfigError, match=r"training\.personal goes with a job that trains"):
        understand(parse_job(scored))


@pytest.mark.parametrize(("key", "value"), [("package", "ab" * 32), ("last", 50), ("model", "liver")])
def test_a_drift_watch_asks_the_same_on_both_sides(key: str, value: Any) -> None:
    documents = dict(read_job_folder(Path(__file__).parents[2] / "jobs" / "drift_watch").documents)
    assert understand(parse_job(documents)).kind.tasks == {"drift_watch"}
    executor_of(documents)["executor"]["args"][key] = value
    with pytest.raises(ConfigError, match="differ between"):
        understand(parse_job(documents))


def test_a_reader_study_is_of_one_package_on_both_sides() -> None:
    documents = dict(read_job_folder(Path(__file__).parents[2] / "jobs" / "reader_study").documents)
    executor_of(documents)["executor"]["args"]["package"] = "ab" * 32
    with pytest.raises(ConfigError, match="study and package differ"):
        understand(parse_job(documents))
