"""Spare draws are planned, charged and claimed like rounds; a job that names none is what it was before."""

from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.accounting import epsilon
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig, read_section
from fedvoxel.privacy.simulation import plan_of, simulate
from fedvoxel.privacy.spare_draws import MOST_SPARE_DRAWS, rounds_and_spare, spare_granted
from fedvoxel.privacy.spending import planned_epsilon
from tests.private_section import PRIVACY

HOSPITAL = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 4.0, "sites": 5, "delta": 1e-3}
SHARED = PRIVACY | {"steps_per_round": 1, "shared_noise": {"sites": 5, "colluders": 1, "dropouts": 1}}
UNITS = pytest.mark.parametrize("section", [PRIVACY, HOSPITAL, SHARED], ids=["patient", "hospital", "shared"])


def mechanism(section: dict[str, Any]) -> PatientMechanism | HospitalMechanism:
    config = read_section(section)
    return PatientMechanism(config) if isinstance(config, PatientMechanismConfig) else HospitalMechanism(config)


@UNITS
def test_a_plan_and_its_cost_are_of_rounds_and_spare_draws(section: dict[str, Any]) -> None:
    plain, spared = read_section(section), read_section(section | {"spare_draws": 1})
    assert plan_of(plain, 3).draws == 3 and plan_of(spared, 3) == plan_of(plain, 4)
    cost = planned_epsilon(plan_of(spared, 3))
    assert cost == planned_epsilon(plan_of(plain, 4)) > planned_epsilon(plan_of(plain, 3))
    assert (
        simulate(plan_of(spared, 3), cost, 1).most_rounds == 3 and simulate(plan_of(spared, 3), cost).most_rounds == 4
    )
    assert simulate(plan_of(spared, 3), 1e-9, 1).most_rounds == 0


@UNITS
def test_a_claim_is_of_what_is_charged_and_says_so(section: dict[str, Any]) -> None:
    spared = mechanism(section | {"spare_draws": 2})
    found, whole = spared.guarantee(3), mechanism(section).guarantee(5)
    assert found and whole and found.epsilon == whole.epsilon
    charged = planned_epsilon(plan_of(spared.config, 3))
    assert found.epsilon == pytest.approx(charged) and found.epsilon >= epsilon(spared.events(5), 1e-3) - 1e-9
    assert "3 rounds and 2 spare draws" in found.said() and "spare" not in whole.said()


@UNITS
def test_a_section_without_the_field_is_read_and_written_as_before(section: dict[str, Any]) -> None:
    """Sites hash a job's words: one of the release before has to find the same hash."""
    plain, none = read_section(section), read_section(section | {"spare_draws": 0})
    assert plain == none and plain.spare_draws == 0
    assert "spare_draws" not in plain.model_dump(mode="json") and "spare_draws" not in none.model_dump_json()
    spared = read_section(section | {"spare_draws": 1})
    assert spared.model_dump(mode="json") == plain.model_dump(mode="json") | {"spare_draws": 1}
    assert read_section(spared.model_dump(mode="json")) == spared != plain


@UNITS
@pytest.mark.parametrize("spare", [-1, MOST_SPARE_DRAWS + 1, 0.5, "some", None])
def test_a_number_that_is_none_is_refused(section: dict[str, Any], spare: Any) -> None:
    assert read_section(section | {"spare_draws": MOST_SPARE_DRAWS}).spare_draws == MOST_SPARE_DRAWS
    with pytest.raises(ConfigError, match="spare_draws"):
        read_section(section | {"spare_draws": spare})


@pytest.mark.parametrize("rounds", [0, -1])
def test_spare_draws_alone_are_no_run(rounds: int) -> None:
    with pytest.raises(ConfigError, match="at least one round"):
        plan_of(read_section(PRIVACY | {"spare_draws": 5}), rounds)


def test_more_draws_than_a_ledger_takes_are_refused() -> None:
    assert plan_of(read_section(HOSPITAL | {"spare_draws": 1}), 9_999).draws == 10_000
    with pytest.raises(ConfigError, match="rounds and spare draws"):
        plan_of(read_section(HOSPITAL | {"spare_draws": 1}), 10_000)


def test_in_words() -> None:
    assert rounds_and_spare(20, 0) == "20 rounds" and rounds_and_spare(20, 2) == "20 rounds and 2 spare draws"
    assert rounds_and_spare(3, 1) == "3 rounds and 1 spare draw"
    assert spare_granted(0, 0) == "" and spare_granted(0, 1) == " and 0 of 1 spare draw"
