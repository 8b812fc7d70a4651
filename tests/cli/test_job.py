"""`fedvoxel job`: variants on disk, checks of a job alone and against kits on this machine, and its errors."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.flare.job_admission import Verdict, quorum_problem
from fedvoxel.flare.job_kinds import understand
from fedvoxel.governance.approval_policy import ApprovalPolicy, write_approval_policy
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.job_folder import parse_job
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, grant
from fedvoxel.privacy.sections import read_section
from fedvoxel.privacy.simulation import plan_of
from fedvoxel.privacy.spending import planned_epsilon
from tests.blob_job import (
    META,
    change_policy,
    controller_of,
    describe_blobs,
    executor_of,
    give_blobs,
    job_documents,
    write_job,
)
from tests.consortium_kits import SERVER, small_consortium
from tests.private_section import PRIVACY

Shown = pytest.CaptureFixture[str]
SCIENTIST = "scientist@consortium.example"


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """Kits of two hospitals, one with twelve blobs; not to be changed."""
    made = small_consortium(tmp_path_factory.mktemp("kits"))
    give_blobs(made.kit("hospital-a"))
    return made


@pytest.fixture
def kit(consortium: Consortium, tmp_path: Path) -> Callable[[str], Path]:
    """Returns a copy of a kit that a test may spoil."""
    return lambda name: Path(shutil.copytree(consortium.kit(name), tmp_path / name))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job on the blobs that is in order."""
    return write_job(tmp_path / "blobs", job_documents())


def _check(shown: Shown, job: Path, *options: str | Path) -> tuple[int, dict[str, Any], str]:
    code = main(["job", "check", str(job), "--json", *map(str, options)])
    printed = shown.readouterr()
    return code, json.loads(printed.out), printed.err


class TestExport:
    def test_writes_the_variant_and_says_so(self, job: Path, tmp_path: Path, capsys: Shown) -> None:
        out = tmp_path / "out" / "short"
        settings = ["--set", "rounds.num_rounds=4", "--set", "name=short", "--set", "training.seed=9"]
        assert main(["job", "export", str(job), "--out", str(out), *settings]) == 0
        assert capsys.readouterr().out.startswith(f"Wrote {out}")
        assert json.loads((out / META).read_text())["name"] == "short"
        assert main(["job", "check", str(out)]) == 0

    def test_tells_a_script_what_was_set(self, job: Path, tmp_path: Path, capsys: Shown) -> None:
        out = tmp_path / "short"
        assert main(["job", "export", str(job), "--out", str(out), "--set", "name=short", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "job": str(out), "set": {"name": "short"}}

    @pytest.mark.parametrize("wrap", [lambda plan: plan, lambda plan: {"summary": {"plan": plan}, "missing": {}}])
    def test_takes_a_plan_or_the_statistics_that_hold_one(
        self, job: Path, tmp_path: Path, wrap: Callable[[Any], Any]
    ) -> None:
        plan = {"orientation": "RAS", "spacing_mm": [2.0, 2.0, 2.0], "intensity": {"method": "range"}}
        (tmp_path / "plan.json").write_text(json.dumps(wrap(plan)))
        out = tmp_path / "planned"
        assert main(["job", "export", str(job), "--out", str(out), "--plan", str(tmp_path / "plan.json")]) == 0
        client = json.loads((out / "app/config/config_fed_client.json").read_text())
        assert client["executors"][0]["executor"]["args"]["plan"] == plan
        server = json.loads((out / "app/config/config_fed_server.json").read_text())
        source = server["workflows"][0]["args"].get("plan_source")
        assert source == ("statistics" if "summary" in wrap(plan) else "fixed"), "a plan made from cases is said to be"

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("rounds.num_round=4", "error: unknown key 'rounds.num_round'; did you mean rounds.num_rounds"),
            ("rounds.num_rounds=0", "rounds.num_rounds: Input should be greater"),
            ("rounds.num_rounds", "expected key=value"),
            ("plan.orientation=XYZ", "plan.orientation"),
        ],
    )
    def test_writes_nothing_that_is_not_valid(
        self, job: Path, tmp_path: Path, capsys: Shown, setting: str, message: str
    ) -> None:
        assert main(["job", "export", str(job), "--out", str(tmp_path / "new"), "--set", setting]) == 3
        shown = capsys.readouterr()
        assert message in shown.err and shown.err.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["blobs"]

    def test_does_not_write_over_a_job(self, job: Path, capsys: Shown) -> None:
        assert main(["job", "export", str(job), "--out", str(job)]) == 10
        assert "exists already" in capsys.readouterr().err


class TestCheckAlone:
    def test_accepts_a_job_in_order(self, job: Path, capsys: Shown) -> None:
        code, told, _ = _check(capsys, job)
        assert code == 0 and told["accepted"] and told["problem"] is None
        found = {finding["topic"]: finding["level"] for finding in told["findings"]}
        assert found == dict.fromkeys(("folder", "config", "network", "privacy"), "ok")

    def test_names_an_unknown_network(self, tmp_path: Path, capsys: Shown) -> None:
        job = write_job(tmp_path / "job", job_documents(network={"name": "UNett"}))
        code, told, error = _check(capsys, job)
        assert code == 10 and not told["accepted"]
        assert "unknown network 'UNett'" in told["problem"] and "did you mean UNet" in told["problem"]
        assert error == f"error: {told['problem']}\n"

    def test_names_a_wrong_key(self, tmp_path: Path, capsys: Shown) -> None:
        documents = job_documents()
        controller_of(documents)["args"]["rounds"]["rounds"] = 3
        code, told, _ = _check(capsys, write_job(tmp_path / "job", documents))
        assert code == 10 and "rounds.rounds: Extra inputs" in told["problem"]

    def test_warns_of_a_job_that_starts_with_too_few(self, tmp_path: Path, capsys: Shown) -> None:
        documents = job_documents()
        documents[META]["min_clients"] = 1
        code, told, _ = _check(capsys, write_job(tmp_path / "job", documents))
        assert code == 0
        assert [finding["message"] for finding in told["findings"] if finding["level"] == "warning"] == [
            "the job starts with 1 sites, a round needs 2; set min_clients=2"
        ]

    def test_says_what_is_wrong_in_a_table_too(self, tmp_path: Path, capsys: Shown) -> None:
        job = write_job(tmp_path / "job", job_documents() | {"app/custom/a.py": ""})
        assert main(["job", "check", str(job)]) == 10
        shown = capsys.readouterr()
        assert "holds code" in shown.err and "folder" in shown.out

    def test_a_folder_that_is_no_job(self, tmp_path: Path, capsys: Shown) -> None:
        code, told, _ = _check(capsys, tmp_path)
        assert code == 10 and "is not a job folder" in told["problem"]


class TestCheckWithSiteKits:
    def test_counts_the_cases_of_a_site_that_accepts(self, job: Path, consortium: Consortium, capsys: Shown) -> None:
        kits = ["--site-kit", consortium.kit("hospital-a"), "--site-kit", consortium.kit(SERVER)]
        code, told, _ = _check(capsys, job, *kits)
        assert code == 0
        site, server = told["site_kits"]
        assert site["site"] == "hospital-a" and site["accepted"] and site["trains"] and site["reasons"] == []
        assert sum(site["details"]["usable"].values()) == 12 and site["details"]["refused"] == 0
        assert server["accepted"] and server["details"] == {}

    def _refused(self, capsys: Shown, job: Path, kit: Path, *options: str | Path) -> str:
        code, told, error = _check(capsys, job, "--site-kit", kit, *options)
        assert code == 10 and error.count("\n") == 1
        assert not told["site_kits"][0]["accepted"]
        assert told["problem"] == f"{kit.name} would refuse the job: {told['site_kits'][0]['reasons'][0]}"
        return str(told["site_kits"][0]["reasons"][0])

    def test_a_site_without_the_cohort(self, job: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        assert "no cohort 'blobs'" in self._refused(capsys, job, kit("hospital-b"))

    def test_a_site_whose_people_have_to_approve_it(self, job: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        site = kit("hospital-a")
        write_approval_policy(site / "local", ApprovalPolicy(approvals=2))
        code, told, error = _check(capsys, job, "--site-kit", site)
        assert code == 10 and told["site_kits"][0]["waits"] and not told["accepted"]
        assert "hospital-a: the job waits for approval: 0 of 2 people" in error
        assert main(["job", "check", str(job), "--site-kit", str(site)]) == 10
        assert "waits" in capsys.readouterr().out

    def test_a_site_that_has_not_decided_what_may_leave(
        self, job: Path, kit: Callable[[str], Path], capsys: Shown
    ) -> None:
        site = kit("hospital-a")
        (site / "local" / PRIVACY_FILE).write_text('{"schema_version": 1, "cohorts": {}}')
        assert "no entry for cohort 'blobs'" in self._refused(capsys, job, site)
        (site / "local" / PRIVACY_FILE).unlink()
        assert "privacy policy is missing" in self._refused(capsys, job, site)

    def test_a_site_whose_budget_covers_a_part_and_one_whose_covers_nothing(
        self, tmp_path: Path, kit: Callable[[str], Path], capsys: Shown
    ) -> None:
        documents, site = job_documents(batch_size=1, epochs_per_round=1), kit("hospital-a")
        controller_of(documents)["args"]["rounds"] |= {"num_rounds": 4, "evaluate": False}
        for args in (controller_of(documents)["args"], executor_of(documents)["executor"]["args"]):
            args["privacy"] = PRIVACY
        job = write_job(tmp_path / "job", documents)
        two = planned_epsilon(plan_of(read_section(PRIVACY), 2)) + 0.001
        grant(site / "local", "blobs", CohortBudget(unit="patient", epsilon=two, delta=0.01))
        code, told, _ = _check(capsys, job, "--site-kit", site)
        assert code == 0 and told["site_kits"][0]["accepted"]
        assert "its privacy budget covers 2 of 4 rounds" in told["site_kits"][0]["reasons"][0]
        for args in (controller_of(documents)["args"], executor_of(documents)["executor"]["args"]):
            args["privacy"] = PRIVACY | {"spare_draws": 1}
        _, told, _ = _check(capsys, write_job(tmp_path / "spared", documents), "--site-kit", site)
        assert "covers 2 of 4 rounds and 0 of 1 spare draw" in told["site_kits"][0]["reasons"][0]
        grant(site / "local", "blobs", CohortBudget(unit="patient", epsilon=0.01, delta=0.01))
        assert "a single release of the run costs epsilon" in self._refused(capsys, job, site)

    def test_a_protected_site_and_a_job_without_a_privacy_section(
        self, job: Path, kit: Callable[[str], Path], capsys: Shown
    ) -> None:
        site = kit("hospital-a")
        grant(site / "local", "blobs", CohortBudget(unit="patient", epsilon=8, delta=0.01))
        assert "the job has no privacy section" in self._refused(capsys, job, site)

    def test_a_site_with_other_classes(self, job: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        site = kit("hospital-a")
        describe_blobs(site, classes={"lesion": 1})
        assert "the job asks for blob" in self._refused(capsys, job, site)

    def test_a_site_without_a_usable_case(self, job: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        site = kit("hospital-a")
        for label in (site / "local").glob("label*.nii.gz"):
            label.unlink()
        assert "no usable case in cohort 'blobs' (12 refused)" in self._refused(capsys, job, site)

    def test_a_site_that_only_evaluates_is_told(self, job: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        site = kit("hospital-a")
        describe_blobs(site, split={"validation": 0.0, "test": 1.0})
        code, told, _ = _check(capsys, job, "--site-kit", site)
        assert code == 0 and told["site_kits"][0]["trains"] is False
        assert told["site_kits"][0]["reasons"] == ["no training case: this site would only evaluate"]

    def test_a_site_whose_class_list_lacks_the_executor(
        self, job: Path, kit: Callable[[str], Path], capsys: Shown
    ) -> None:
        site = kit("hospital-a")
        change_policy(site, "resources.json", class_allow_list=["nvflare.x.Y"])
        assert "class_allow_list lacks fedvoxel.flare.executor" in self._refused(capsys, job, site)

    def test_a_site_that_the_job_does_not_name(self, tmp_path: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        documents = job_documents()
        documents[META]["deploy_map"] = {"app": ["server", "hospital-b", "hospital-c"]}
        job = write_job(tmp_path / "job", documents)
        assert "does not name this site" in self._refused(capsys, job, kit("hospital-a"))

    def test_a_submitter_without_the_right(self, job: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        site = kit("hospital-a")
        change_policy(site, "authorization.json", permissions={"lead": {"submit_job": "o:site", "byoc": "none"}})
        assert "lead someone@elsewhere.example has no right submit_job" in self._refused(capsys, job, site)
        change_policy(site, "authorization.json", permissions={"lead": {"submit_job": "o:consortium"}})
        assert "has no right submit_job" in self._refused(capsys, job, site)

    def test_a_policy_that_cannot_be_used(self, job: Path, kit: Callable[[str], Path], capsys: Shown) -> None:
        site = kit("hospital-a")
        change_policy(site, "authorization.json", permissions={"lead": {"submit_job": "sometimes"}})
        assert "authorization.json cannot be used" in self._refused(capsys, job, site)

    def test_code_is_refused_with_the_sites_own_rule(
        self, tmp_path: Path, kit: Callable[[str], Path], capsys: Shown
    ) -> None:
        job = write_job(tmp_path / "job", job_documents() | {"app/custom/a.py": ""})
        site = kit("hospital-a")
        _, told, _ = _check(capsys, job, "--site-kit", site)
        assert "holds code" in told["problem"]
        assert "has no right byoc" in told["site_kits"][0]["reasons"][0]
        change_policy(site, "authorization.json", permissions={"lead": {"submit_job": "any", "byoc": "any"}})
        code, told, _ = _check(capsys, job, "--site-kit", site)
        assert code == 10
        assert told["site_kits"][0]["reasons"] == ["this site would let code in; set byoc to none"]


class TestWithoutAServer:
    @pytest.mark.parametrize("command", ["check", "submit"])
    def test_a_server_that_is_down_is_one_line(
        self, command: str, job: Path, consortium: Consortium, capsys: Shown
    ) -> None:
        assert main(["job", command, str(job), "--kit", str(consortium.kit(SCIENTIST))]) == 8
        shown = capsys.readouterr()
        assert shown.err.startswith("error: cannot log in: ") and "localhost:" in shown.err
        assert shown.err.count("\n") == 1

    @pytest.mark.parametrize("command", ["check", "submit"])
    def test_a_site_is_no_person(self, command: str, job: Path, consortium: Consortium, capsys: Shown) -> None:
        assert main(["job", command, str(job), "--kit", str(consortium.kit("hospital-a"))]) == 8
        assert "log in with a person's kit" in capsys.readouterr().err


def _content(**rounds: Any) -> Any:
    documents = job_documents()
    controller_of(documents)["args"]["rounds"] |= rounds
    return understand(parse_job(documents))


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([(True, True), (True, True)], None),
        ([(True, True), (False, None)], "1 of 2 sites would accept the job, it starts with 2"),
        ([(True, True), (True, False)], "1 of 2 sites would train, a round needs 2"),
        ([(True, True), (True, True), (False, None)], None),
    ],
)
def test_the_quorum(answers: list[tuple[bool, bool | None]], problem: str | None) -> None:
    verdicts = [Verdict(f"site-{index}", accepted, trains=trains) for index, (accepted, trains) in enumerate(answers)]
    assert quorum_problem(_content(), verdicts) == problem


def test_a_site_that_must_take_part() -> None:
    documents = job_documents()
    documents[META]["mandatory_clients"] = ["site-2"]
    verdicts = [Verdict("site-0", True, trains=True), Verdict("site-1", True, trains=True), Verdict("site-2", False)]
    problem = quorum_problem(understand(parse_job(documents)), verdicts)
    assert problem == "site-2 must take part (mandatory_clients) and would not"


def test_tasks_that_the_site_would_not_know_are_refused(tmp_path: Path, capsys: Shown) -> None:
    documents = job_documents()
    executor_of(documents)["tasks"] = ["train"]
    code, told, _ = _check(capsys, write_job(tmp_path / "job", documents))
    assert code == 10 and "tasks lack initialize, validate" in told["problem"]
