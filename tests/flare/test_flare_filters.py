"""FLARE's own filters behind ours: every way past them is closed, and what leaves says what they are worth."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.filters.percentile_privacy import PercentilePrivacy
from nvflare.app_common.filters.svt_privacy import SVTPrivacy
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.federation.round_notes import read_filter_note
from fedvoxel.flare.flare_filters import FILTER_NOTE, WrappedPercentilePrivacy, WrappedSVTPrivacy
from fedvoxel.flare.messages import error_of, error_reply, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY, OutboundFilter
from fedvoxel.governance.approval_policy import ApprovalPolicy, write_approval_policy
from fedvoxel.privacy.policy import CohortBudget, NoBudget, PrivacyPolicy, PublicCohort, grant, write_privacy_policy

ARRAYS = {
    "conv.weight": np.linspace(-2e-5, 2e-5, 3000, dtype=np.float32).reshape(30, 100),
    "conv.bias": np.full(7, 5e-6, np.float32),
}
SIZE = 3007
TRAINED = {"case_count": 5, "loss": 0.5, "seconds": 1.0, "refused_cases": 0}
Wrapped = WrappedSVTPrivacy | WrappedPercentilePrivacy


class Site:
    """Stands where FLARE's workspace does: it says where the site's own files are."""

    def __init__(self, folder: Path) -> None:
        self.local = folder / "local"
        self.local.mkdir()
        write_privacy_policy(self.local, PrivacyPolicy(schema_version=1))
        write_approval_policy(self.local, ApprovalPolicy())
        grant(self.local, "open", NoBudget())
        grant(self.local, "shared", PublicCohort())
        grant(self.local, "protected", CohortBudget(unit="patient", epsilon=8, delta=1e-3))

    def get_site_config_dir(self) -> str:
        return str(self.local)

    def context(self, task: str = "train", cohort: str = "open") -> FLContext:
        context = FLContext()
        context.set_prop(FLContextKey.WORKSPACE_OBJECT, self, private=True, sticky=False)
        context.set_prop(FLContextKey.TASK_NAME, task, private=True, sticky=False)
        context.set_prop(COHORT_PROPERTY, cohort, private=True, sticky=False)
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def update(arrays: Any = None, **values: Any) -> Shareable:
    return result_reply({**TRAINED, **values}, ARRAYS if arrays is None else arrays, difference=True)


def left(filtered: Shareable) -> FLModel:
    assert filtered.get_return_code() == ReturnCode.OK, error_of(filtered)
    return FLModelUtils.from_shareable(filtered)


def refusal(filtered: Shareable) -> str:
    """Checks that an error reply carries its reason and nothing else, and returns the reason."""
    assert filtered.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert "conv" not in str(filtered) and "DXO" not in filtered and "Meier" not in str(filtered)
    return error_of(filtered)


# ------------------------------------------------------------------ what leaves says the truth


def test_svt_says_what_flares_own_odometer_says(site: Site) -> None:
    ours, flares = WrappedSVTPrivacy(fraction=0.2, epsilon=2.0), SVTPrivacy(fraction=0.2, epsilon=2.0)
    for call in (1, 2, 3):
        model = left(ours.process(update(), site.context()))
        flares.process_dxo(DXO(DataKind.WEIGHT_DIFF, data=dict(ARRAYS)), Shareable(), FLContext())
        now, so_far = flares.get_privacy_ledger()[-1]["epsilon_total"], flares.get_privacy_spent()
        # FLARE's default adds noise_var of epsilon for each parameter that is sent; see PRIVACY.
        assert now == pytest.approx(2.0 + np.ceil(0.2 * SIZE) * 0.1)
        assert so_far == pytest.approx(call * now)
        said = model.meta[FILTER_NOTE]
        assert f"epsilon {now:.6g} this round, {so_far:.6g} so far in this job at this site" in said
        assert "FLARE's own odometer (whole site, replace, pure DP)" in said and "no formal guarantee:" in said
        assert read_filter_note(said) == said
    assert {name: array.shape for name, array in model.params.items()} == {
        name: array.shape for name, array in ARRAYS.items()
    }
    sent = np.concatenate([array.ravel() for array in model.params.values()])
    assert 0 < np.count_nonzero(sent) <= np.ceil(0.2 * SIZE)


def test_only_what_was_admitted_and_the_note_leave_svt(site: Site) -> None:
    model = left(WrappedSVTPrivacy().process(update(), site.context()))
    assert {**TRAINED, FILTER_NOTE: model.meta[FILTER_NOTE]} == model.meta
    assert "acceptance" not in str(model.meta), "FLARE's own notes hold what depends on the data"


def test_percentile_says_that_it_adds_no_noise(site: Site) -> None:
    model = left(WrappedPercentilePrivacy(percentile=50, gamma=1e-5).process(update(), site.context()))
    assert model.meta[FILTER_NOTE] == "FLARE PercentilePrivacy: no formal guarantee (it adds no noise)"
    expected = DXO(DataKind.WEIGHT_DIFF, data={name: array.copy() for name, array in ARRAYS.items()})
    expected = PercentilePrivacy(percentile=50, gamma=1e-5).process_dxo(expected, Shareable(), FLContext())
    for name, array in expected.data.items():
        assert np.array_equal(model.params[name], array)


def test_the_largest_change_is_not_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    left(WrappedSVTPrivacy().process(update(), site.context()))
    left(WrappedPercentilePrivacy().process(update(), site.context()))
    assert "elta_w" not in caplog.text and "threshold" not in caplog.text


def test_the_word_of_the_sites_own_filter_about_public_cases_stays(site: Site) -> None:
    context = site.context(cohort="shared")
    model = left(WrappedPercentilePrivacy().process(OutboundFilter().process(update(), context), context))
    assert model.meta["public"] is True and FILTER_NOTE in model.meta


# ------------------------------------------------------------------ every way past FLARE's filters

PAST_FLARE = {
    "analytics": lambda: DXO(DataKind.ANALYTIC, data={"conv": 1}).to_shareable(),
    "metrics": lambda: DXO(DataKind.METRICS, data={"conv": 0.5}).to_shareable(),
    "no DXO": lambda: Shareable({"conv": "Meier"}),
    "a collection": lambda: DXO(
        DataKind.COLLECTION, data={"a": DXO(DataKind.ANALYTIC, data={"conv": 1})}
    ).to_shareable(),
    "full weights": lambda: result_reply(TRAINED, ARRAYS, difference=False),
    "no data": lambda: DXO(DataKind.WEIGHT_DIFF, data={}, meta=TRAINED).to_shareable(),
    "no arrays": lambda: result_reply({"case_count": 0}, {}, difference=False),
    "an unknown value": lambda: update(patient="Meier"),
    "a note of its own": lambda: update(**{FILTER_NOTE: "perfectly private"}),
    "not a number": lambda: update({"conv": np.array([np.nan, 1], np.float32)}),
    "infinite": lambda: update({"conv": np.array([np.inf, 1], np.float32)}),
    "a single number": lambda: update({**ARRAYS, "conv.scale": np.array(1e-6, np.float32)}),
    "an integer buffer": lambda: update({**ARRAYS, "conv.count": np.array([3])}),
}


@pytest.mark.parametrize("filtering", [WrappedSVTPrivacy, WrappedPercentilePrivacy])
@pytest.mark.parametrize("answer", PAST_FLARE.values(), ids=PAST_FLARE.keys())
def test_what_flare_lets_pass_is_refused(answer: Any, filtering: type[Wrapped], site: Site) -> None:
    assert f"{filtering.__name__}, a filter of the job, refused" in refusal(
        filtering().process(answer(), site.context())
    )


@pytest.mark.parametrize("filtering", [WrappedSVTPrivacy, WrappedPercentilePrivacy])
def test_a_failed_answer_leaves_without_its_payload(filtering: type[Wrapped], site: Site) -> None:
    failed = error_reply("no usable case")
    failed["DXO"] = update()["DXO"]
    failed.set_header("patient", "Meier")
    assert refusal(filtering().process(failed, site.context())) == "no usable case"


@pytest.mark.parametrize("filtering", [WrappedSVTPrivacy, WrappedPercentilePrivacy])
@pytest.mark.parametrize("task", ["initialize", "validate", "submit_model", "statistics", "check", "other"])
def test_only_answers_to_a_round_pass(task: str, filtering: type[Wrapped], site: Site) -> None:
    refusal(filtering().process(update(), site.context(task)))


@pytest.mark.parametrize("filtering", [WrappedSVTPrivacy, WrappedPercentilePrivacy])
@pytest.mark.parametrize("cohort", ["protected", "unknown"])
def test_a_protected_cohorts_release_is_not_changed(
    cohort: str, filtering: type[Wrapped], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    assert "refused" in refusal(filtering().process(update(), site.context(cohort=cohort)))
    assert "protected cohort" in caplog.text


def test_without_a_policy_nothing_leaves_and_no_folder_is_named(site: Site) -> None:
    (site.local / "fedvoxel_privacy.json").unlink()
    assert str(site.local) not in refusal(WrappedSVTPrivacy().process(update(), site.context()))


@pytest.mark.parametrize(
    "wrong",
    [
        WrappedPercentilePrivacy(gamma=0),
        WrappedPercentilePrivacy(gamma=-1),
        WrappedPercentilePrivacy(gamma=float("nan")),
        WrappedPercentilePrivacy(percentile=-1),
        WrappedPercentilePrivacy(percentile=101),
        WrappedSVTPrivacy(gamma=0),
        WrappedSVTPrivacy(epsilon=0),
        WrappedSVTPrivacy(epsilon=float("inf")),
        WrappedSVTPrivacy(fraction=0),
        WrappedSVTPrivacy(fraction=1.5),
        WrappedSVTPrivacy(noise_var=-1),
        WrappedSVTPrivacy(tau=1.0),
        WrappedSVTPrivacy(replace="yes"),  # type: ignore[arg-type]
        WrappedSVTPrivacy(epsilon=1, epsilon_threshold=0.3, epsilon_query=0.3),
        WrappedSVTPrivacy(epsilon=1, epsilon_query=2),
    ],
    ids=lambda filtering: str(filtering._args),
)
def test_a_wrong_argument_is_an_error_reply(wrong: Wrapped, site: Site) -> None:
    """FLARE's percentile filter sends the raw update where gamma or the percentile is out of range."""
    assert "is not valid" in refusal(wrong.process(update(), site.context()))


def test_not_filtered_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(PercentilePrivacy, "process_dxo", lambda *_: None)
    refusal(WrappedPercentilePrivacy().process(update(), site.context()))
    assert "has not filtered" in caplog.text


def test_a_round_that_the_odometer_does_not_count_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(SVTPrivacy, "process_dxo", lambda self, dxo, *_: dxo)
    refusal(WrappedSVTPrivacy().process(update(), site.context()))
    assert "odometer has not counted" in caplog.text


def test_what_comes_back_is_checked_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for data in ({"conv.weight": ARRAYS["conv.weight"]}, {**ARRAYS, "conv.bias": np.full(7, np.nan, np.float32)}):
        changed = DXO(DataKind.WEIGHT_DIFF, data=data)
        monkeypatch.setattr(PercentilePrivacy, "process_dxo", lambda *_, made=changed: made)
        refusal(WrappedPercentilePrivacy().process(update(), site.context()))
