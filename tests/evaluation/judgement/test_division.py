from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from fedvoxel.evaluation.judgement.division import Person, divide, in_order, people_of, tells_of_few
from tests.evaluation.judgement.case_results import case

MINIMUM = 5


def people(*groups: tuple[int, dict[str, object]]) -> list[Person]:
    usual = {"hospital": "hospital-a", "strength": "3 T", "scanner": ("Alpha", "3 T"), "sex": "female", "age": None}
    found: list[Person] = []
    for count, facts in groups:
        found += [Person(f"p{len(found) + number}", **(usual | facts)) for number in range(count)]
    return found


def test_small_subgroups_go_together() -> None:
    places = divide(people((12, {}), (8, {"hospital": "b"}), (3, {"hospital": "c"}), (3, {"hospital": "d"})), MINIMUM)
    assert Counter(places["hospital"].values()) == {"hospital-a": 12, "b": 8, "other": 6}


def test_one_small_subgroup_takes_the_next_with_it() -> None:
    places = divide(people((12, {}), (8, {"hospital": "b"}), (6, {"hospital": "c"}), (2, {"hospital": "d"})), MINIMUM)
    assert Counter(places["hospital"].values()) == {"hospital-a": 12, "b": 8, "other": 8}


def test_where_nothing_can_be_told_apart_there_is_no_table() -> None:
    assert divide(people((12, {}), (2, {"sex": "male"})), MINIMUM) == {}
    assert divide(people((12, {})), MINIMUM) == {}


def test_two_tables_that_together_tell_of_few_are_not_both_shown() -> None:
    # All of hospital b but two are men, and nobody else is: men minus hospital b would be about few.
    asked = people((10, {"sex": "female"}), (2, {"sex": "male"}), (10, {"hospital": "b", "sex": "male"}))
    found = divide(asked, MINIMUM)
    assert set(found) == {"hospital"}
    both = [
        {one.person: one.hospital for one in asked},
        {one.person: one.sex for one in asked},
    ]
    assert tells_of_few(both, MINIMUM)
    assert not tells_of_few(both, 2)


def test_tables_that_cross_freely_are_shown() -> None:
    asked = people((6, {}), (2, {"sex": "male"}), (3, {"hospital": "b"}), (7, {"hospital": "b", "sex": "male"}))
    assert set(divide(asked, MINIMUM)) == {"hospital", "sex"}


@pytest.mark.parametrize("seed", range(12))
def test_no_small_sum_follows_from_what_is_shown(seed: int) -> None:
    """Looks at all sets of one to four patients, one by one, with another method: least squares."""
    random = np.random.default_rng(seed)
    asked = [
        Person(
            person=f"p{number}",
            hospital=str(random.choice(["a", "b", "c"])),
            strength=str(random.choice(["1.5 T", "3 T"])),
            scanner=(str(random.choice(["Alpha", "Beta"])),),
            sex=str(random.choice(["female", "male"])),
            age=float(random.integers(20, 80)),
        )
        for number in range(14)
    ]
    tables = list(divide(asked, MINIMUM).values())
    cells = sorted({(n, cell) for n, table in enumerate(tables) for cell in table.values()})
    shown = np.array([[tables[n][one.person] == cell for one in asked] for n, cell in cells], float)
    if not tables:
        return
    for count in range(1, MINIMUM):
        wanted = np.zeros((len(asked), 0))
        for chosen in combinations(range(len(asked)), count):
            column = np.zeros((len(asked), 1))
            column[list(chosen)] = 1
            wanted = np.hstack([wanted, column])
        left_over = wanted - shown.T @ np.linalg.lstsq(shown.T, wanted, rcond=None)[0]
        assert np.linalg.norm(left_over, axis=0).min() > 1e-6


def test_a_patient_is_what_all_scans_say() -> None:
    known = {"Manufacturer": "Alpha", "MagneticFieldStrength": 3.0, "PatientSex": "F", "PatientAge": 61.0}
    scans = [case(1, known=known), case(1, known=known | {"PatientAge": 60.0, "PatientSex": "M"})]
    (found,) = people_of(scans)
    assert (found.scanner, found.sex, found.age) == (("Alpha", "3 T"), "differs between scans", 60.0)
    assert people_of([case(2)])[0].scanner == ("not known",)


@pytest.mark.parametrize(
    ("tesla", "name"),
    [
        (0.55, "below 1.5 T"),
        (1.494, "1.5 T"),
        (1.5, "1.5 T"),
        (2.0, "1.8 to 2.6 T"),
        (2.89362, "3 T"),
        (3.0, "3 T"),
        (7.0, "above 3 T"),
        (15000.0, "not known"),
        (0.0, "not known"),
        (None, "not known"),
    ],
)
def test_field_strengths_are_told_in_bands(tesla: float | None, name: str) -> None:
    known = {} if tesla is None else {"MagneticFieldStrength": tesla}
    assert people_of([case(1, known=known)])[0].strength == name


def test_a_patient_scanned_at_two_field_strengths_is_said_to_be() -> None:
    scans = [case(1, known={"MagneticFieldStrength": tesla}) for tesla in (1.5, 3.0)]
    assert people_of(scans)[0].strength == "differs between scans"


def test_field_strength_is_a_subgroup_of_its_own() -> None:
    groups = ((6, {"strength": "1.5 T"}), (9, {}), (5, {"strength": "not known"}), (3, {"strength": "above 3 T"}))
    place = divide(people(*groups), MINIMUM)["strength"]
    assert Counter(place.values()) == {"3 T": 9, "1.5 T": 6, "other": 8}
    assert divide(people((6, {"strength": "1.5 T"}), (4, {})), MINIMUM).get("strength") is None
    groups = ((6, {"strength": "not known"}), (9, {}), (5, {"strength": "below 1.5 T"}))
    assert in_order(divide(people(*groups), MINIMUM)["strength"]) == ["below 1.5 T", "3 T", "not known"]
