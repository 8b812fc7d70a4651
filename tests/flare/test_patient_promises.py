"""A run is charged wherever its patients are, and a promise that another cohort would break is refused first."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from fedvoxel.errors import BudgetExceededError, ConfigError
from fedvoxel.flare.executor import SiteExecutor
from fedvoxel.flare.messages import error_of
from fedvoxel.flare.patient_promises import check_promises, ledgers_of
from fedvoxel.flare.private_rounds import PrivateRounds
from fedvoxel.flare.statistics import StatisticsExecutor
from fedvoxel.governance.approval_policy import ApprovalPolicy, write_approval_policy
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PrivacyPolicy, PublicCohort, grant, write_privacy_policy
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.volumes.site import SITE_FILE
from tests.flare.test_private_rounds import CONFIG, Trained
from tests.training.conftest import training_section

PATIENT = CohortBudget(unit="patient", epsilon=8, delta=1e-2)
HOSPITAL = CohortBudget(unit="hospital", epsilon=8, delta=1e-2)


class Site:
    """Is a site whose cohorts are rows of (case, patient); every case has files of its own."""

    def __init__(self, folder: Path) -> None:
        self.local = folder / "local"
        self.local.mkdir()
        self.cohorts: dict[str, Any] = {}
        write_privacy_policy(self.local, PrivacyPolicy(schema_version=1))
        write_approval_policy(self.local, ApprovalPolicy())

    def add(self, name: str, patients: str, entry: Any, **described: Any) -> "Site":
        rows = []
        for number, patient in enumerate(patients.split(",")):
            for kind in ("image", "label"):
                (self.local / f"{name}{number}.{kind}").write_bytes(b"")
            rows.append(f"{name}{number},{patient},{name}{number}.image,{name}{number}.label")
        (self.local / f"{name}.csv").write_text("\n".join(["case,patient,image,label", *rows]) + "\n")
        source = {"layout": "csv", "table": f"{name}.csv"}
        self.cohorts[name] = {"source": source, "classes": {"blob": 1}, **described}
        site = {"schema_version": 1, "pseudonym_key": "0" * 64, "cohorts": self.cohorts}
        (self.local / SITE_FILE).write_text(json.dumps(site))
        if entry:
            grant(self.local, name, entry)
        return self

    def get_site_config_dir(self) -> str:
        return str(self.local)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_cohorts_to_charge_are_the_protected_ones_that_share_a_patient(site: Site) -> None:
    site.add("main", "p1,p2", PATIENT).add("two", "p2,p3", PATIENT).add("apart", "p4", PATIENT)
    assert check_promises(site.local, "main") == ("two",)
    assert check_promises(site.local, "two") == ("main",)
    assert check_promises(site.local, "apart") == ()


def test_a_run_is_charged_to_both_ledgers_once(site: Site) -> None:
    site.add("main", "p1,p2", PATIENT).add("two", "p2,p3", PATIENT)
    (main, two) = ledgers_of(site.local, ("main", "two"))
    private = PrivateRounds(main, CONFIG, "run", "job", ledgers_of(site.local, check_promises(site.local, "main")))
    trained = Trained()
    release_id = private.release(0, 2, trained)
    assert private.release(0, 2, trained) == release_id and trained.times == 1
    for ledger, kept in ((main, 1), (two, 0)):
        assert [(run.drawn, run.kept) for run in ledger.status().runs] == [(1, kept)]
    assert main.status().spent_epsilon == two.status().spent_epsilon > 0


def test_a_cohort_that_comes_to_share_a_patient_is_charged_before_a_round_is_sent_again(site: Site) -> None:
    site.add("main", "p1,p2", PATIENT).add("two", "p3", PATIENT)
    main, two = ledgers_of(site.local, ("main", "two"))
    trained = Trained()
    release_id = PrivateRounds(main, CONFIG, "run", "job").release(0, 2, trained)
    assert check_promises(site.local, "main") == () and two.status().entries == 0
    site.add("two", "p2,p3", PATIENT)
    also = ledgers_of(site.local, check_promises(site.local, "main"))
    for _ in range(2):
        assert PrivateRounds(main, CONFIG, "run", "job", also).release(0, 2, trained) == release_id
    assert trained.times == 1 and [run.drawn for run in two.status().runs] == [1]
    assert two.status().spent_epsilon == main.status().spent_epsilon
    site.add("three", "p1", CohortBudget(unit="patient", epsilon=1e-3, delta=1e-2))
    tight = ledgers_of(site.local, check_promises(site.local, "main"))
    assert len(tight) == 2
    with pytest.raises(BudgetExceededError, match="cohort three"):
        PrivateRounds(main, CONFIG, "run", "job", tight).release(0, 2, trained)


def test_without_budget_in_the_other_cohort_nothing_is_trained(site: Site) -> None:
    tight = CohortBudget(unit="patient", epsilon=1e-3, delta=1e-2)
    site.add("main", "p1,p2", PATIENT).add("two", "p2,p3", tight)
    main, two = ledgers_of(site.local, ("main", "two"))
    trained = Trained()
    with pytest.raises(Exception, match="cohort two"):
        PrivateRounds(main, CONFIG, "run", "job", (two,)).release(0, 2, trained)
    assert trained.times == 0 and main.status().entries == two.status().entries == 0


@pytest.mark.parametrize("other", [NoBudget(), PublicCohort(), HOSPITAL], ids=lambda entry: str(entry.unit))
@pytest.mark.parametrize("used", ["main", "two"])
def test_a_patient_who_is_let_out_elsewhere_makes_the_promise_hollow(
    other: Any, used: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.add("main", "p1,p2", PATIENT).add("two", "p2,p3", other)
    with pytest.raises(ConfigError) as refused:
        check_promises(site.local, used)
    assert "site check" in str(refused.value)
    assert "main" not in str(refused.value) and "two" not in str(refused.value), "that patients are shared stays here"
    for words in (f"unit '{other.unit}'", "have a patient in common", "'main'", "'two'", "take the patient out"):
        assert words in caplog.text
    assert "p2" not in caplog.text
    site.add("two", "p3", other)
    assert check_promises(site.local, used) == ()


def test_cohorts_about_which_nothing_leaves_and_sites_without_promises_share_freely(site: Site) -> None:
    site.add("main", "p1,p2", PATIENT).add("silent", "p2", None)
    assert check_promises(site.local, "main") == ()
    grant(site.local, "main", NoBudget())
    site.add("open", "p1", NoBudget()).add("gone", "p1", PublicCohort())
    (site.local / "gone.csv").unlink()
    assert check_promises(site.local, "main") == (), "nothing is promised, so no list is read"


def test_a_list_that_cannot_be_read_refuses_a_protected_run(site: Site) -> None:
    site.add("main", "p1,p2", PATIENT).add("two", "p3", NoBudget())
    (site.local / "two.csv").unlink()
    with pytest.raises(ConfigError, match="site check"):
        check_promises(site.local, "main")


def test_unnamed_patients_are_refused_under_unit_patient_only(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.add("main", "p1,", PATIENT)
    with pytest.raises(ConfigError):
        check_promises(site.local, "main")
    assert "one_scan_per_patient" in caplog.text and "column" in caplog.text
    site.add("main", "p1,", PATIENT, one_scan_per_patient=True)
    assert check_promises(site.local, "main") == ()
    site.add("main", "p1,", HOSPITAL)
    assert check_promises(site.local, "main") == ()


# ------------------------------------------------------------------ where it is asked


def context(site: Site, folder: Path) -> FLContext:
    class Workspace:
        def get_root_dir(self) -> str:
            return str(folder)

        def get_site_config_dir(self) -> str:
            return str(site.local)

        def get_run_dir(self, job_id: str) -> str:
            return str(folder)

        def get_app_dir(self, job_id: str) -> str:
            return str(folder / "app")

    made = FLContext()
    made.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(), private=True, sticky=False)
    made.set_prop(FLContextKey.CURRENT_RUN, "job", private=True, sticky=False)
    return made


@pytest.mark.parametrize("private", [None, CONFIG], ids=["a plain job", "a private job"])
def test_an_executor_refuses_before_it_starts_a_trainer(
    private: PatientMechanismConfig | None, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    site.add("main", "p1,p2", PATIENT).add("two", "p2,p3", NoBudget())
    section = private.model_dump(mode="json") if private else None
    training = json.loads(json.dumps(training_section()))
    executor = SiteExecutor("main" if private else "two", ["blob"], {}, training, "run", section)
    fl_ctx = context(site, tmp_path)
    executor.handle_event("_start_run", fl_ctx)
    said = error_of(executor.execute("train", Shareable(), fl_ctx, Signal()))
    assert "do not go together" in said
    assert not (tmp_path / "trainer.log").exists()


def test_an_executor_declines_by_the_declared_number_of_patients_alone(site: Site, tmp_path: Path) -> None:
    site.add("main", "p1,p2", PATIENT.model_copy(update={"patients_at_least": 2}))
    section = CONFIG.model_dump(mode="json") | {"expected_batch": 3}
    executor = SiteExecutor("main", ["blob"], {}, json.loads(json.dumps(training_section())), "run", section)
    executor.handle_event("_start_run", context(site, tmp_path))
    said = error_of(executor.execute("train", Shareable(), context(site, tmp_path), Signal()))
    assert "larger than the cohort of 2" in said and not (tmp_path / "trainer.log").exists()


def test_statistics_of_an_open_cohort_are_refused_where_they_break_a_promise(site: Site, tmp_path: Path) -> None:
    site.add("main", "p1,p2", PATIENT).add("two", "p2,p3", NoBudget())
    reply = StatisticsExecutor("two", ["blob"]).execute("statistics", Shareable(), context(site, tmp_path), Signal())
    assert "do not go together" in error_of(reply)
