"""Draws the course of a run and its scores: learning curves, and means with their intervals side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fedvoxel.evaluation.figures import (
    MODEL_COLOURS,
    MODEL_MARKERS,
    SITE_COLOURS,
    SITE_MARKERS,
    Picture,
    new_figure,
    picture_of,
)
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import ClassScore, RoundRecord, RunOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fedvoxel.evaluation.report import Report

ModelScores = Mapping[str, Mapping[str, Mapping[str, ClassScore]]]
"""Scores by model ("federated", "personal", "local", "pooled"), site and class."""

_MODEL_NAMES = {"federated": "federated", "personal": "own, personal", "local": "local only", "pooled": "centralised"}
_MISSING = float("nan")  # leaves a gap in a line


def illustrate(report: "Report", pictures: Sequence[Picture] = ()) -> list[Picture]:
    """Returns all pictures of a report in the order of reading: scores, the given pictures, learning curves."""
    scores: dict[str, dict[str, dict[str, ClassScore]]] = {}
    for row in report.rows:
        scores.setdefault(row.model, {}).setdefault(row.site, {})[row.class_name] = row.score
    found = (score_chart(scores), *pictures, learning_curves(report.run))
    return [picture for picture in found if picture is not None]


def learning_curves(outcome: RunOutcome) -> Picture | None:
    """Draws validation Dice (each site, and the mean over cases) and training loss by round; None without either."""
    if not any(record.validation or record.loss for record in outcome.rounds):
        return None
    figure = new_figure(9.0, 3.8)
    dice, loss = figure.subplots(1, 2)
    _lines(dice, outcome, _validation_at)
    rounds = [record.round for record in outcome.rounds]
    dice.plot(
        rounds,
        [_or_gap(mean_dice(record.validation)) for record in outcome.rounds],
        color="black",
        linewidth=2.6,
        label="all cases",
    )
    if outcome.best_round is not None:
        dice.axvline(outcome.best_round, color="grey", linestyle="dotted", label=f"best: round {outcome.best_round}")
    _lines(loss, outcome, _loss_at)
    for axes, title in ((dice, "Validation Dice (mean over classes)"), (loss, "Training loss")):
        _frame(axes, title)
        axes.set_xlabel("round (0 is the first)")
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = dice.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), frameon=False)
    return picture_of(figure, "Learning curves", _course(outcome))


def score_chart(scores: ModelScores) -> Picture | None:
    """Draws mean Dice with its 95 % interval per site, one panel per class; None where nothing was scored."""
    classes = list(dict.fromkeys(name for sites in scores.values() for site in sites.values() for name in site))
    sites = list(dict.fromkeys(site for model in scores.values() for site in model))
    if not classes or not sites:
        return None
    columns = min(len(classes), 3)
    rows = -(-len(classes) // columns)
    figure = new_figure(9.0, 0.7 + (0.9 + 0.5 * len(sites)) * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, name in zip(panels, classes, strict=False):
        _points(axes, name, scores, sites)
    for axes in panels[len(classes) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return picture_of(
        figure,
        "Dice on unseen cases",
        "Mean Dice with 95 % interval per hospital and class; the table has the numbers.",
    )


def _lines(axes: "Axes", outcome: RunOutcome, value: Callable[[RoundRecord, str], float | None]) -> None:
    rounds = [record.round for record in outcome.rounds]
    for index, site in enumerate(outcome.sites):
        values = [value(record, site) for record in outcome.rounds]
        if any(found is not None for found in values):
            axes.plot(rounds, [_or_gap(found) for found in values], label=site, **_site_style(index))


def _validation_at(record: RoundRecord, site: str) -> float | None:
    score = record.validation.get(site)
    return None if score is None else mean_dice({site: score})


def _loss_at(record: RoundRecord, site: str) -> float | None:
    return record.loss.get(site)


def _site_style(index: int) -> dict[str, Any]:
    colour = SITE_COLOURS[index % len(SITE_COLOURS)]
    return {"color": colour, "marker": SITE_MARKERS[index % len(SITE_MARKERS)], "markersize": 4, "linewidth": 1.2}


def _points(axes: "Axes", class_name: str, scores: ModelScores, sites: Sequence[str]) -> None:
    for index, (model, per_site) in enumerate(scores.items()):
        offset = (index - (len(scores) - 1) / 2) * 0.22
        rows = [
            (place, per_site[site][class_name])
            for place, site in enumerate(sites)
            if class_name in per_site.get(site, {})
        ]
        drawn = [(place, score) for place, score in rows if score.dice_mean is not None]
        axes.errorbar(
            [_or_gap(score.dice_mean) for _, score in drawn],
            [place + offset for place, _ in drawn],
            xerr=[
                [_reach(score, score.dice_low) for _, score in drawn],
                [_reach(score, score.dice_high) for _, score in drawn],
            ],
            fmt=MODEL_MARKERS[model],
            color=MODEL_COLOURS[model],
            capsize=3,
            label=_MODEL_NAMES[model],
        )
    axes.set_yticks(range(len(sites)), sites)
    axes.set_ylim(len(sites) - 0.5, -0.5)
    axes.set_xlabel("Dice")
    _frame(axes, class_name)


def _reach(score: ClassScore, end: float | None) -> float:
    return 0.0 if end is None or score.dice_mean is None else abs(end - score.dice_mean)


def _or_gap(value: float | None) -> float:
    return _MISSING if value is None else value


def _frame(axes: "Axes", title: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _course(outcome: RunOutcome) -> str:
    known = [(record.round, value) for record in outcome.rounds if (value := mean_dice(record.validation)) is not None]
    if not known:
        return "Training loss by round."
    (first, begin), (last, end) = known[0], known[-1]
    return f"Validation Dice by round: {begin:.3f} in round {first}, {end:.3f} in round {last}; and training loss."
