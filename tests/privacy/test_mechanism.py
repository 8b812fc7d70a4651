"""A job's privacy section is told apart by its unit and becomes the mechanism of that unit."""

import pytest

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.privacy.mechanism import HospitalMechanism, PatientMechanism, PrivacySection, build_mechanism

PATIENT = {
    "unit": "patient",
    "clip_norm": 1.0,
    "noise_multiplier": 1.0,
    "sampling_probability": 0.5,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 10,
}
HOSPITAL = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 1.0, "sites": 5, "delta": 1e-5}


class Job(FrozenModel):
    """Stands for whatever holds the section."""

    privacy: PrivacySection


@pytest.mark.parametrize(("section", "kind"), [(PATIENT, PatientMechanism), (HOSPITAL, HospitalMechanism)])
def test_the_unit_decides(section: dict[str, object], kind: type) -> None:
    mechanism = build_mechanism(parse_config(Job, {"privacy": section}, "the job").privacy)
    assert type(mechanism) is kind
    assert mechanism.round_event().noise_multiplier == 1.0


@pytest.mark.parametrize("unit", ["scan", None])
def test_another_unit_is_refused(unit: object) -> None:
    with pytest.raises(ConfigError, match="unit"):
        parse_config(Job, {"privacy": PATIENT | {"unit": unit}}, "the job")


def test_a_section_without_unit_is_refused() -> None:
    with pytest.raises(ConfigError, match="unit"):
        parse_config(Job, {"privacy": {key: value for key, value in PATIENT.items() if key != "unit"}}, "the job")
