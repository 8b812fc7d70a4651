"""What is asked of a run before its model may be exported and registered, stated before the run; a rule, no judge.

It goes by the report of the run, so by what the hospitals themselves say of cases that nobody trained on. What the
report does not say is never taken for good: a class without a score, or a hospital without an answer, stops the model.
"""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.caveats import FEWEST_CASES_OF_A_RUN
from fedvoxel.evaluation.report import Report
from fedvoxel.federation.attempts import ENDED_WELL
from fedvoxel.federation.outcome import ClassName, Dice

MinimumDice = Annotated[dict[ClassName, Dice], Field(min_length=1)]


class GateRule(FrozenModel):
    """Is what is asked.

    Attributes:
        minimum_dice: By class, the lowest mean Dice over all hospitals' unseen cases; every class that was scored
            must stand here.
        minimum_dice_of_each_hospital: By class, the lowest mean Dice of any one hospital; a hospital that has no such
            case, or too few to say, is passed over.
        minimum_cases: How many unseen cases of each class must have a score, over all hospitals.
        most_untested: How many hospitals may have sent no score of any class.
    """

    minimum_dice: MinimumDice
    minimum_dice_of_each_hospital: dict[ClassName, Dice] = Field(default_factory=dict)
    minimum_cases: PositiveInt = FEWEST_CASES_OF_A_RUN
    most_untested: NonNegativeInt = 0


def objections(report: Report, rule: GateRule) -> tuple[str, ...]:
    """Returns what stands against promoting a run's model, one sentence each; nothing where it may be promoted.

    Args:
        report: The run's report. Dice are means over unseen cases, 0 to 1.
        rule: What was asked.
    """
    return (*_of_the_run(report, rule), *_of_classes(report, rule), *_of_hospitals(report, rule))


def _of_the_run(report: Report, rule: GateRule) -> list[str]:
    found = []
    if report.run.status not in ENDED_WELL:
        found.append(f"the run is {report.run.status}")
    scored = {
        site
        for site, score in report.run.test.items()
        if any(one.dice_mean is not None for one in score.classes.values())
    }
    silent = sorted(set(report.run.sites) - scored)
    if len(silent) > rule.most_untested:
        found.append(f"no score from {', '.join(silent)}; {rule.most_untested} such hospitals are allowed")
    return found


def _of_classes(report: Report, rule: GateRule) -> list[str]:
    scored = {one.class_name: one for one in report.overall}
    found = [f"{name}: no minimum is stated" for name in scored if name not in rule.minimum_dice]
    for name, least in rule.minimum_dice.items():
        if name not in scored:
            found.append(f"{name}: no unseen case has a score")
            continue
        cases, mean = scored[name].cases, scored[name].dice_mean
        if cases < rule.minimum_cases:
            found.append(f"{name}: {cases} unseen cases have a score, {rule.minimum_cases} are asked for")
        if mean < least:
            found.append(f"{name}: mean Dice {mean:.3f}, at least {least:g} is asked for")
    return found


def _of_hospitals(report: Report, rule: GateRule) -> list[str]:
    found = []
    for row in report.rows:
        least, mean = rule.minimum_dice_of_each_hospital.get(row.class_name), row.score.dice_mean
        if row.model == "federated" and least is not None and mean is not None and mean < least:
            found.append(f"{row.class_name} at {row.site}: mean Dice {mean:.3f}, at least {least:g} is asked for")
    known = {row.class_name for row in report.rows if row.model == "federated"}
    found += [f"{name}: no hospital has a score" for name in rule.minimum_dice_of_each_hospital if name not in known]
    return found
