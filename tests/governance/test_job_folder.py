"""What a job folder may hold, and what is refused with the file and key that is wrong."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.governance.job_folder import code_in, parse_job, read_job_folder, write_job_folder
from tests.blob_job import CLIENT, META, SERVER, controller_of, executor_of, job_documents, write_job

JOBS = sorted(path.parent for path in (Path(__file__).parents[2] / "jobs").glob("*/meta.json"))
Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("folder", JOBS, ids=lambda folder: folder.name)
def test_every_job_of_the_repository_is_in_order(folder: Path) -> None:
    job = read_job_folder(folder)
    assert job.meta.name == folder.name
    assert all(path.startswith("fedvoxel.flare.") for path in (*job.site_classes(), *job.server_classes()))


def test_the_signatures_of_the_console_do_not_count(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", job_documents() | {"app/.__nvfl_sig.json": "{}"})
    (folder / ".__nvfl_submitter.crt").write_text("x")
    assert read_job_folder(folder).app == "app"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("app/custom/train.py", r"holds code \(app/custom/train.py\)"),
        ("app/custom/notes.json", r"holds code \(app/custom/notes.json\)"),
        ("app/config/evil.py", r"holds code \(app/config/evil.py\)"),
        ("README.md", r"not JSON \(README.md\)"),
        ("app/config/log_config.json", r"unknown files \(app/config/log_config.json\)"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, extra: str, message: str) -> None:
    folder = write_job(tmp_path / "job", job_documents() | {extra: "{}"})
    with pytest.raises(ConfigError, match=message):
        read_job_folder(folder)


def test_code_is_named_even_in_a_broken_job(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", {"app/custom/a.py": "", "app/config/b.json": "{}"})
    assert code_in(folder) == ("app/custom/a.py",)


def test_a_link_is_refused(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", job_documents())
    (folder / "app" / "config" / "more.json").symlink_to(folder / META)
    with pytest.raises(ConfigError, match="holds links"):
        read_job_folder(folder)


def test_a_folder_that_is_no_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not a job folder: expected meta.json"):
        read_job_folder(tmp_path / "missing")


@pytest.mark.parametrize("content", ["{", '{"name": NaN}', "[]"])
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: str) -> None:
    folder = write_job(tmp_path / "job", job_documents() | {META: content})
    with pytest.raises(ConfigError, match=r"meta\.json"):
        read_job_folder(folder)


WRONG: list[tuple[Change, str]] = [
    (lambda job: job.pop(SERVER), "lacks app/config/config_fed_server.json"),
    (lambda job: job[META].update(min_client=2), r"meta\.json is not valid: min_client: Extra"),
    (lambda job: job[META].update(min_clients=0), r"meta\.json is not valid: min_clients"),
    (lambda job: job[META].update(name="my job"), r"meta\.json is not valid: name"),
    (lambda job: job[META].update(launcher_spec={}), "launcher_spec"),
    (lambda job: job[META].update(resource_spec={"a": {"docker": {"image": "x"}}}), "resource_spec.a.docker"),
    (lambda job: job[META].update(deploy_map={"app": ["@ALL"], "b": ["@ALL"]}), "expected one app"),
    (lambda job: job[META].update(deploy_map={"other": ["@ALL"]}), "lacks other/config"),
    (lambda job: job[META].update(deploy_map={"../app": ["@ALL"]}), "deploy_map"),
    (lambda job: job[META].update(deploy_map={"app": ["hospital-a"]}), '"server" and the names of sites'),
    (lambda job: job[META].update(deploy_map={"app": ["server"]}), '"server" and the names of sites'),
    (lambda job: job[META].update(deploy_map={"app": ["server", "a", "a"]}), "each once"),
    (lambda job: job[META].update(deploy_map={"app": ["server", "a"]}), "min_clients is 2, but deploy_map names 1"),
    (
        lambda job: job[META].update(deploy_map={"app": ["server", "a", "b"]}, mandatory_clients=["c"]),
        "mandatory_clients: c not in deploy_map",
    ),
    (lambda job: job[SERVER].update(format_version=1), "config_fed_server.json is not valid: format_version"),
    (lambda job: job[SERVER].update(workflows=[]), "config_fed_server.json is not valid: workflows"),
    (lambda job: job[SERVER].update(surprise=1), "surprise: Extra"),
    (lambda job: controller_of(job).update(path="os"), "workflows.0.path"),
    (lambda job: executor_of(job).update(tasks=[]), "config_fed_client.json is not valid: executors.0.tasks"),
    (lambda job: job[CLIENT]["executors"].append(copy.deepcopy(executor_of(job))), "executors"),
    (lambda job: job[CLIENT].update(components=[{"id": "x"}]), "components.0.path"),
]


@pytest.mark.parametrize(("spoil", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_key_is_named(spoil: Change, message: str) -> None:
    documents = job_documents()
    spoil(documents)
    with pytest.raises(ConfigError, match=message):
        parse_job(documents)


def test_every_class_that_flare_would_build_is_found() -> None:
    documents = job_documents()
    documents[CLIENT]["components"] = [{"id": "x", "path": "a.B", "args": {"inner": {"path": "c.D"}}}]
    documents[CLIENT]["task_result_filters"] = [{"tasks": ["train"], "filters": [{"path": "e.F"}]}]
    documents[SERVER]["components"] = [{"id": "y", "path": "g.H", "args": {"list": [{"class_path": "i.J"}]}}]
    job = parse_job(documents)
    assert job.site_classes() == ("fedvoxel.flare.executor.SiteExecutor", "a.B", "e.F", "c.D")
    assert job.server_classes() == ("fedvoxel.flare.controller.FedAvgController", "g.H", "i.J")


def test_a_written_job_is_the_same_job(tmp_path: Path) -> None:
    job = parse_job(job_documents())
    write_job_folder(job, tmp_path / "new" / "copy")
    assert read_job_folder(tmp_path / "new" / "copy") == job
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(JobError, match="exists already"):
        write_job_folder(parse_job(job_documents()), tmp_path / "taken")


def test_a_name_that_flare_refuses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="my job"):
        write_job_folder(parse_job(job_documents()), tmp_path / "my job")


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    job = parse_job(job_documents())
    broken = type(job)({**job.documents, "later.json": {1, 2}}, job.app, job.meta, job.server, job.client)
    with pytest.raises(TypeError):
        write_job_folder(broken, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
