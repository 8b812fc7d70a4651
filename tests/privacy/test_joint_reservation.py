"""A draw on patients of several cohorts is charged to every ledger of theirs, before it is made, or to none."""

from pathlib import Path

import pytest

from fedvoxel.errors import BudgetExceededError, ConfigError
from fedvoxel.privacy.joint_reservation import reserve_jointly
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.spending import planned_epsilon
from tests.privacy.ledger_processes import plan_of

PLAN = plan_of(2, noise_multiplier=10)


def ledger(folder: Path, cohort: str, epsilon: float = 8.0) -> Ledger:
    return Ledger(folder, cohort, CohortBudget(unit="patient", epsilon=epsilon, delta=1e-3))


def test_every_ledger_is_charged_the_same_and_the_first_ones_release_counts(tmp_path: Path) -> None:
    main, others = ledger(tmp_path, "main"), (ledger(tmp_path, "a"), ledger(tmp_path, "z"))
    made = reserve_jointly(main, others, "run", "job", 0, PLAN)
    for one in (main, *others):
        status = one.status()
        assert status.spent_epsilon == planned_epsilon(PLAN)
        assert [(run.run_key, run.drawn, run.kept) for run in status.runs] == [("run", 1, 0)]
    main.keep(made, b"noised")
    assert main.bytes_to_send(made.release_id) == b"noised"
    assert [one.verify() for one in (main, *others)] == [(), (), ()]


@pytest.mark.parametrize("tight", ["a", "main", "z"])
def test_if_one_budget_refuses_nothing_is_charged_anywhere(tmp_path: Path, tight: str) -> None:
    ledgers = {name: ledger(tmp_path, name, 1e-3 if name == tight else 8.0) for name in ("a", "main", "z")}
    with pytest.raises(BudgetExceededError, match=f"cohort {tight}"):
        reserve_jointly(ledgers["main"], (ledgers["z"], ledgers["a"]), "run", "job", 0, PLAN)
    assert [one.status().entries for one in ledgers.values()] == [0, 0, 0]


def test_another_unit_is_refused_before_anything_is_charged(tmp_path: Path) -> None:
    main = ledger(tmp_path, "main")
    hospital = Ledger(tmp_path, "z", CohortBudget(unit="hospital", epsilon=8, delta=1e-3))
    with pytest.raises(ConfigError, match="protects each hospital"):
        reserve_jointly(main, (hospital,), "run", "job", 0, PLAN)
    assert main.status().entries == 0


def test_a_check_charges_nothing_and_says_what_reserve_would_say(tmp_path: Path) -> None:
    one = ledger(tmp_path, "main")
    one.check_draw("run", "job", 0, PLAN)
    assert one.status().entries == 0 and not (tmp_path / "main").exists()
    one.reserve("run", "job", 0, PLAN)
    one.reserve("run", "job", 1, PLAN)
    with pytest.raises(BudgetExceededError) as checked:
        one.check_draw("run", "job", 2, PLAN)
    with pytest.raises(BudgetExceededError) as reserved:
        one.reserve("run", "job", 2, PLAN)
    assert str(checked.value) == str(reserved.value)


class LateRefusal(Ledger):
    """Says yes when asked and no when charged, as where another run comes in between."""

    def check_draw(self, *words: object) -> None:
        """Accepts anything."""


def test_what_was_reserved_before_a_late_refusal_stays_charged(tmp_path: Path) -> None:
    main = ledger(tmp_path, "main")
    late = LateRefusal(tmp_path, "z", CohortBudget(unit="patient", epsilon=1e-3, delta=1e-3))
    with pytest.raises(BudgetExceededError):
        reserve_jointly(main, (late,), "run", "job", 0, PLAN)
    assert main.status().runs[0].drawn == 1 and late.status().entries == 0
