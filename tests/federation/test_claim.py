"""A claim stands while every channel is charged, public or off, and falls with the first that is open."""

from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.claim import Claim, claim_of
from fedvoxel.federation.promise import check_promise_of
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from tests.private_section import PRIVACY

HOSPITAL = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 4.0, "sites": 5, "delta": 1e-3}
NAMES = [
    "updates",
    "case counts",
    "training statistics",
    "validation scores",
    "model choice",
    "preprocessing plan",
    "hyper-parameters",
    "start model",
    "job filters",
    "calibration",
    "site selection",
]


def start(claim: Claim | str) -> StartModel:
    """Is the model of a run with that claim, or that says that and has no guarantee."""
    text, guarantee = (claim, None) if isinstance(claim, str) else (claim.text, claim.guarantee)
    return StartModel(run_key="earlier", sha256="0" * 64, privacy=text, guarantee=guarantee)


def claimed(privacy: Any = PRIVACY, **changes: Any) -> Claim:
    """Is the claim of a job in order, with changes: those of the rounds by their names, others as `claim_of` does."""
    rounds = {"num_rounds": 2, "evaluate": False} | {
        key: changes.pop(key) for key in RoundsConfig.model_fields if key in changes
    }
    return claim_of(
        privacy, RoundsConfig.model_validate(rounds), **({"plan_source": "fixed", "choices": "public"} | changes)
    )


def test_noise_for_a_mean_is_no_noise_for_a_median() -> None:
    median = {"aggregation": {"name": "median"}, "min_sites": 3}
    assert claimed(**median).guarantee == OF_PATIENTS.guarantee
    with pytest.raises(ConfigError, match="median with privacy of each hospital"):
        claimed(HOSPITAL, **median)


@pytest.mark.parametrize("privacy", [PRIVACY, HOSPITAL])
def test_a_correction_under_a_privacy_section_is_refused(privacy: Any) -> None:
    with pytest.raises(ConfigError, match="feddyn with a privacy section"):
        claimed(privacy, correction={"name": "feddyn"})


def test_a_codec_takes_nothing_from_a_guarantee() -> None:
    up, both = {"up": {"name": "int8"}}, {"up": {"name": "int8"}, "down": {"name": "stepped"}}
    assert claimed(compression=both) == claimed()
    assert claimed(HOSPITAL, compression=up) == claimed(HOSPITAL)


def test_a_model_that_the_ledger_names_travels_whole() -> None:
    with pytest.raises(ConfigError, match=r"compression\.down with privacy of each hospital"):
        claimed(HOSPITAL, compression={"down": {"name": "int8"}})


def test_shares_of_noise_are_nothing_without_secure_aggregation() -> None:
    with pytest.raises(ConfigError, match="shared_noise without secure aggregation"):
        claimed(SHARED)


SHARING = {"sites": 5, "colluders": 1, "dropouts": 1}
SHARED = PRIVACY | {"steps_per_round": 1, "shared_noise": SHARING}
ADAPTIVE = {
    "quantile": 0.5,
    "learning_rate": 0.2,
    "count_noise_multiplier": 50.0,
    "least_clip_norm": 1.0,
    "greatest_clip_norm": 8.0,
}


def test_a_secure_sum_is_that_on_which_the_shares_of_noise_count() -> None:
    sums = {"least_sites": 4, "dropouts": 1}
    assert claimed(SHARED, secure_aggregation=sums).guarantee
    for other in (sums | {"least_sites": 3}, sums | {"dropouts": 2}):
        with pytest.raises(ConfigError, match="counts on sums of 4 sites at least and 1 dropouts: write those"):
            claimed(SHARED, secure_aggregation=other)


def test_whole_noise_of_each_site_is_not_added_up_in_secret() -> None:
    with pytest.raises(ConfigError, match="noise that each site adds whole: write"):
        claimed(PRIVACY, secure_aggregation={"dropouts": 1})


def test_a_bound_that_adapts_needs_a_server_that_sees_who_is_within_it() -> None:
    many = HOSPITAL | {"sites": 500}
    assert claimed(many | {"adaptive_clip": ADAPTIVE}).guarantee
    assert claimed(many, secure_aggregation={"dropouts": 1}).guarantee
    with pytest.raises(ConfigError, match="adaptive_clip with secure_aggregation"):
        claimed(many | {"adaptive_clip": ADAPTIVE}, secure_aggregation={"dropouts": 1})


@pytest.mark.parametrize("privacy", [PRIVACY, HOSPITAL])
def test_who_is_asked_may_follow_nothing_that_is_protected(privacy: Any) -> None:
    drawn = claimed(privacy, selection={"name": "random"})
    assert drawn.guarantee == claimed(privacy).guarantee, "no rule makes the guarantee better"
    for rule in ({"name": "by_cases"}, {"name": "power_of_choice"}, {"name": "oort"}):
        with pytest.raises(ConfigError, match=f"selection: {rule['name']} with a privacy section"):
            claimed(privacy, selection=rule)
    open_one = claimed(None, selection={"name": "oort"})
    assert "site selection" in open_one.open and "site selection" not in open_one.on_public_cases().open


@pytest.mark.parametrize("privacy", [PRIVACY, HOSPITAL])
def test_what_single_updates_are_worth_is_not_found_out_of_protected_ones(privacy: Any) -> None:
    with pytest.raises(ConfigError, match="contribution with a privacy section"):
        claimed(privacy, contribution={"method": "agreement"})


OF_PATIENTS = claimed()
OF_HOSPITALS = claimed(HOSPITAL)


def test_a_job_in_order_claims_what_its_mechanism_guarantees() -> None:
    claim = claimed()
    expected = PatientMechanism(PatientMechanismConfig.model_validate(PRIVACY)).guarantee(2)
    assert expected and claim.guarantee == expected and claim.text == expected.said()
    assert [channel.name for channel in claim.channels] == NAMES and claim.open == ()
    hospital = HospitalMechanism(HospitalMechanismConfig.model_validate(HOSPITAL)).guarantee(2)
    assert hospital and claimed(HOSPITAL).guarantee == hospital and claimed(HOSPITAL).text == hospital.said()


@pytest.mark.parametrize("privacy", [PRIVACY, HOSPITAL])
def test_a_draw_that_may_be_lost_is_claimed_like_a_round(privacy: Any) -> None:
    spared, more = claimed(privacy | {"spare_draws": 3}), claimed(privacy, num_rounds=5)
    assert spared.guarantee and more.guarantee and spared.guarantee.epsilon == more.guarantee.epsilon
    assert "2 rounds and 3 spare draws" in spared.text
    with pytest.raises(ConfigError, match="rounds and spare draws"):
        claimed(HOSPITAL | {"spare_draws": 1}, num_rounds=10_000)


def test_more_rounds_claim_less() -> None:
    few, many = claimed(num_rounds=2).guarantee, claimed(num_rounds=20).guarantee
    assert few and many and few.epsilon < many.epsilon


CHANNELS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "updates without noise": ({"privacy": PRIVACY | {"noise_multiplier": None}}, {"updates"}),
    "hospitals' updates without noise": ({"privacy": HOSPITAL | {"noise_multiplier": None}}, {"updates"}),
    "scores": ({"evaluate": True}, {"validation scores", "model choice"}),
    "a plan from statistics": ({"plan_source": "statistics"}, {"preprocessing plan"}),
    "a plan from nobody knows where": ({"plan_source": None}, {"preprocessing plan"}),
    "choices by private results": ({"choices": "private"}, {"hyper-parameters"}),
    "choices by nobody knows what": ({"choices": None}, {"hyper-parameters"}),
    "a start without a guarantee": ({"start": start(NO_GUARANTEE)}, {"start model"}),
    "a start whose claim fell": ({"start": start(f"{NO_GUARANTEE} (open: updates)")}, {"start model"}),
    "a start that says anything else": ({"start": start("as good as private")}, {"start model"}),
    "a start whose guarantee is words only": ({"start": start(OF_PATIENTS.text)}, {"start model"}),
    "a start for another unit": ({"start": start(OF_HOSPITALS)}, {"start model"}),
    "the other way round": ({"privacy": HOSPITAL, "start": start(OF_PATIENTS)}, {"start model"}),
    "a filter of the job's own": ({"filters": ["SomeFilter"]}, {"job filters"}),
}


@pytest.mark.parametrize("channel", CHANNELS)
def test_one_open_channel_and_the_claim_falls(channel: str) -> None:
    changes, opened = CHANNELS[channel]
    claim = claimed(**changes)
    assert claim.guarantee is None and set(claim.open) == opened
    assert claim.text == f"{NO_GUARANTEE} (open: {', '.join(claim.open)})"


def test_more_steps_than_can_be_accounted_for_are_refused_in_a_line() -> None:
    rounds = RoundsConfig(num_rounds=20, evaluate=False)
    with pytest.raises(ConfigError, match=r"plan of all rounds.*1000000 steps"):
        claim_of(PRIVACY | {"steps_per_round": 100_000}, rounds)


def test_without_a_privacy_section_nothing_is_claimed() -> None:
    claim = claimed(None)
    assert (claim.text, claim.guarantee) == (NO_GUARANTEE, None)
    assert {"updates", "case counts", "training statistics"} == set(claim.open)


def test_a_public_start_changes_no_claim() -> None:
    claim = claimed(start=start(PUBLIC_DATA))
    assert claim.text == OF_PATIENTS.text
    assert {channel.name: channel.status for channel in claim.channels}["start model"] == "public"


def test_what_a_start_model_cost_is_added() -> None:
    once = OF_PATIENTS.guarantee
    twice = claimed(start=start(OF_PATIENTS))
    assert once and twice.guarantee
    assert (twice.guarantee.epsilon, twice.guarantee.delta) == (2 * once.epsilon, 2 * once.delta)
    assert "run earlier" in twice.guarantee.composition and twice.text == twice.guarantee.said()
    assert {channel.name: channel.status for channel in twice.channels}["start model"] == "charged"
    thrice = claimed(start=start(twice)).guarantee
    assert thrice and thrice.epsilon == pytest.approx(3 * once.epsilon) and thrice.delta == 0.003
    hospitals = claimed(HOSPITAL, start=start(OF_HOSPITALS)).guarantee
    assert hospitals and OF_HOSPITALS.guarantee and hospitals.epsilon == 2 * OF_HOSPITALS.guarantee.epsilon


def test_a_promise_is_held_against_the_sum() -> None:
    once = OF_PATIENTS.guarantee
    assert once
    promise = {"unit": "patient", "epsilon": 1.5 * once.epsilon, "delta": 0.5}
    check_promise_of({"promises": promise}, OF_PATIENTS)
    with pytest.raises(ConfigError, match="run earlier"):
        check_promise_of({"promises": promise}, claimed(start=start(OF_PATIENTS)))
    with pytest.raises(ConfigError, match="run earlier"):
        check_promise_of({"promises": promise | {"epsilon": 1e3, "delta": 1e-3}}, claimed(start=start(OF_PATIENTS)))


def test_deltas_that_add_up_to_one_are_refused() -> None:
    half = PRIVACY | {"delta": 0.5}
    with pytest.raises(ConfigError, match="add up to 1"):
        claimed(half, start=start(claimed(half)))


def test_a_start_model_says_one_thing() -> None:
    with pytest.raises(ValueError, match="beside other words"):
        StartModel(run_key="earlier", sha256="0" * 64, privacy=NO_GUARANTEE, guarantee=OF_PATIENTS.guarantee)


def test_a_run_on_public_cases_says_so_only_where_nothing_else_is_private() -> None:
    public = claimed(None, evaluate=True, patience=2).on_public_cases()
    assert (public.text, public.guarantee, public.open) == (PUBLIC_DATA, None, ())
    assert claimed(None, start=start(PUBLIC_DATA)).on_public_cases().text == PUBLIC_DATA
    for changes in ({"plan_source": "statistics"}, {"plan_source": None}, {"choices": "private"}, {"choices": None}):
        assert claimed(None, **changes).on_public_cases().text == NO_GUARANTEE
    for changes in ({"start": start(NO_GUARANTEE)}, {"start": start(OF_PATIENTS)}):
        assert claimed(None, **changes).on_public_cases().text == NO_GUARANTEE
    assert claimed().on_public_cases().text == OF_PATIENTS.text, "a guarantee is left as it is"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "unit"),
        ({key: value for key, value in PRIVACY.items() if key != "unit"}, "unit"),
        (PRIVACY | {"unit": "scan"}, "unit"),
        (PRIVACY | {"unit": "hospital"}, "sampling_probability"),
        (PRIVACY | {"delta": 0}, "delta"),
    ],
)
def test_a_wrong_section_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        claimed(section)


@pytest.mark.parametrize("key", ["plan_source", "choices"])
def test_a_job_says_one_of_the_known_words(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: expected .* got 'somewhere'"):
        claimed(**{key: "somewhere"})
