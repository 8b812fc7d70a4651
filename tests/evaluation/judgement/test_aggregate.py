"""What of a judgement is told outside, and that two answers together tell of no few patients."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fedvoxel.errors import CohortError, LedgerError
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import Model, open_model
from fedvoxel.evaluation.judgement.aggregate import ASKED_METRICS, Aggregate, StructureAggregate
from fedvoxel.evaluation.judgement.aggregating import aggregate_of, people_behind
from fedvoxel.evaluation.judgement.case_result import CaseResult
from fedvoxel.evaluation.judgement.components import PieceCounts
from fedvoxel.evaluation.judgement.division import sets_tell_of_few
from fedvoxel.evaluation.judgement.judge import Judged
from fedvoxel.evaluation.judgement.judgement import Frame, Judgement, Settings, make_judgement
from fedvoxel.evaluation.judgement.sharing import shareable
from fedvoxel.evaluation.judgement.told import FILE, FOLDER, settle
from fedvoxel.evaluation.judgement.told import Judged as JudgedPeople
from fedvoxel.records.chain import Chain
from tests.evaluation.judgement.case_results import NAME, case, score, sure
from tests.evaluation.judgement.made_up import package
from tests.export.package_sample import structure

PACKAGE, OTHER = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("package")
    return open_model(package(folder, structures=[structure(NAME)]), MemoryBound(4096), threads=1)


def judged(model: Model, cases: Sequence[CaseResult]) -> Judgement:
    settings = Settings(tolerance_mm=1.0, tolerance_from="asked for", minimum_patients=5)
    return make_judgement(model, Judged(tuple(cases), (), {}), Frame("brains", "test", True, settings))


def aggregate(model: Model, cases: Sequence[CaseResult]) -> Aggregate:
    return aggregate_of(judged(model, cases))


def false_alarm(number: int) -> CaseResult:
    """A case without the structure, in which the model finds it."""
    found = score(0.0, finding="false_alarm", truth_ml=0.0, predicted_ml=1.0)
    return case(number, scores={NAME: found}, reliability={NAME: sure()})


def test_all_that_can_be_told_is_rounded_and_about_enough_patients(model: Model) -> None:
    told = aggregate(model, [case(number, 0.8 + number / 7000) for number in range(6)])
    (one,) = told.structures
    assert (told.patients, told.minimum_patients, told.not_told) == (6, 5, ())
    assert one.dice is not None and one.dice.value == 0.8 and one.dice.patients == 6
    assert one.counts is not None and (one.counts.found, one.counts.missed) == (6, 0)
    figures = (one.dice, one.nsd, one.hd95_mm, one.volume_error_ml, one.volume_error_percent)
    assert all(figure is not None and round(figure.value, 3) == figure.value for figure in figures)


def test_what_was_not_asked_for_is_left_out(model: Model) -> None:
    told = aggregate(model, [case(number) for number in range(6)])
    fields = set(StructureAggregate.model_fields) - {"name", "label"}
    seen: set[str] = set()
    for metric in ASKED_METRICS:
        (one,) = told.of((metric,)).structures
        kept = {name for name in fields if getattr(one, name) is not None}
        assert kept and not kept & seen
        seen |= kept
    assert seen == fields and told.of(ASKED_METRICS) == told


def test_a_mean_of_which_few_patients_have_a_part_is_not_told(model: Model) -> None:
    # Of ten patients three have the structure, and only they have a volume error in percent.
    few = [*(case(number) for number in range(3)), *(false_alarm(number) for number in range(3, 10))]
    (one,) = aggregate(model, few).structures
    assert one.dice is not None and one.dice.patients == 10
    assert one.volume_error_percent is None and one.volume_error_ml is not None
    shared = shareable(judged(model, few))["structures"][0]
    assert shared["volume_error_percent"] is None and shared["calibration"]["overlooked"] is None
    counted = {NAME: score(pieces=PieceCounts(truth=2, found=1, false=0))}
    few = [replace(one, scores=counted) if number < 3 else one for number, one in enumerate(few)]
    pieces = shareable(judged(model, few))["structures"][0]["pieces"]
    assert pieces["sensitivity"] is None and pieces["false_per_case"] is not None
    # Where all but three have it, the rest is few.
    told = aggregate(model, [*(case(number) for number in range(7)), *(false_alarm(number) for number in range(7, 10))])
    assert told.structures[0].volume_error_percent is None


def test_counts_of_cases_are_not_told_where_a_patient_has_several(model: Model) -> None:
    twice = [case(number, patient=f"patient-{number // 2}") for number in range(12)]
    (one,) = aggregate(model, twice).structures
    assert one.counts is None and one.dice is not None and one.dice.patients == 6


def test_of_too_few_nothing_is_told(model: Model) -> None:
    with pytest.raises(CohortError, match="fewer than 5 patients could be judged"):
        aggregate(model, [case(number) for number in range(4)])
    few = aggregate(model, [*(case(number) for number in range(3)), *(case(number, None) for number in range(3, 10))])
    assert few.structures == () and few.not_told == (NAME,)


@pytest.mark.parametrize(
    ("sets", "few"),
    [
        (["abcdefg"], False),
        (["abcdefg", "abcdefg"], False),
        (["abcdefg", "hijklmn"], False),
        (["abcdefg", "abcdef"], True),
        (["abcdefg", "abcdefhijklm"], False),  # one went and six came: nobody can tell them apart
        (["abcdefgh", "abcd", "efgh"], True),  # four and four, each told as a whole of its own
        (["abcdefghijklmno", "abcdef", "ghijklm"], True),  # a whole less two of its splits: the third
        (["abcdefghijklmno", "abcdef", "ghijk", "lmnop"], True),
        (["abcdefghijklmnop", "abcdef", "ghijk"], False),
    ],
)
def test_sets_that_together_tell_of_few(sets: list[str], few: bool) -> None:
    assert sets_tell_of_few([set(one) for one in sets], 5) is few


def test_what_was_told_stays_told(model: Model, tmp_path: Path) -> None:
    first = aggregate(model, [case(number) for number in range(6)])
    second = aggregate(model, [case(number, 0.5) for number in range(6)])
    patients = {f"patient-{number}" for number in range(6)}

    def told(package: str, people: set[str], what: Aggregate, key: str = "key", minimum: int = 5) -> Aggregate:
        return settle(tmp_path, JudgedPeople(package, key, people, {}, what), minimum)

    assert told(PACKAGE, patients, first) == first
    assert told(PACKAGE, patients, second) == first, "a corrected label would tell of its patient"
    assert told(OTHER, patients, second) == second
    assert len(Chain(tmp_path / FOLDER / FILE).read()) == 2
    with pytest.raises(CohortError, match="would tell of a few patients"):
        told(OTHER, patients | {"patient-6"}, second)
    larger = patients | {f"patient-{number}" for number in range(6, 11)}
    assert told(PACKAGE, larger, second) == second
    with pytest.raises(CohortError, match="may hold numbers of 5 patients; 6 are the least now"):
        told(PACKAGE, patients, first, minimum=6)
    with pytest.raises(CohortError, match="pseudonym key is another"):
        told(PACKAGE, {"p" + one for one in larger}, first, key="another")


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ([case(number) for number in range(20, 26)], False),
        ([case(20), *(case(number, None) for number in range(21, 27))], True),
        ([*(case(number) for number in range(20, 26)), case(26, None)], True),
        ([*(case(number) for number in range(20, 26)), *(case(number, None) for number in range(26, 32))], False),
    ],
)
def test_two_answers_do_not_tell_of_the_few_who_have_a_structure_or_have_none(
    model: Model, tmp_path: Path, more: list[CaseResult], refused: bool
) -> None:
    """The patients of the two differ by enough, those in whom there is a score by one."""
    part = [*(case(number) for number in range(6)), *(case(number, None) for number in range(6, 12))]

    def told(cases: list[CaseResult]) -> Aggregate:
        made = judged(model, cases)
        aggregate = aggregate_of(made)
        people = {one.patient for one in made.cases}
        return settle(tmp_path, JudgedPeople(PACKAGE, "key", people, people_behind(made, aggregate), aggregate), 5)

    assert told(part).structures
    if refused:
        with pytest.raises(CohortError, match=f"{NAME}: (no )?dice"):
            told([*part, *more])
    else:
        assert told([*part, *more]).patients == len(part) + len(more)


def test_a_record_that_cannot_be_read_tells_nothing(model: Model, tmp_path: Path) -> None:
    told = aggregate(model, [case(number) for number in range(6)])
    Chain(tmp_path / FOLDER / FILE).append({"schema_version": 1, "package": PACKAGE})
    with pytest.raises(LedgerError, match="line 1 of what was told"):
        settle(tmp_path, JudgedPeople(PACKAGE, "key", {"p"}, {}, told), 5)
