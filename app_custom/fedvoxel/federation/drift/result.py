"""What hospitals' images in use come to: one alarm, which names the hospitals that drift and whether all together do.

All signs of all hospitals, and those of all images together, are asked at once, and an alarm is what stands among so
many (Holm). A hospital that lies can so raise an alarm or hide its own, and no other hospital's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.federation.calibration.limits import WARN_COVERAGE
from fedvoxel.federation.calibration.moments import Count
from fedvoxel.federation.calibration.score_counts import add_counts
from fedvoxel.federation.drift.answers import MeanVolume, TooFewImages, WatchAnswer, least_images
from fedvoxel.federation.drift.reference import WatchQuestion, WatchReference
from fedvoxel.federation.drift.signs import LEVEL, Sign, sign_of_counts, sign_of_mean, sign_of_unusual, sure_signs

RESULT_FILE = "drift_watch.json"
"""The name of the result in the job's workspace; `drift.json` is what `fedvoxel drift` writes at one hospital."""

Verdict = Literal["stable", "drift", "nothing told"]


class Seen(FrozenModel):
    """Is what some images show.

    Attributes:
        images: How many.
        signs: All that were asked, each with its chance.
        alarms: Those that matter and are no chance, among all signs of the result.
    """

    images: Count
    signs: tuple[Sign, ...]
    alarms: tuple[Sign, ...]


class DriftWatchResult(FrozenModel):
    """Is the content of `drift_watch.json`.

    Attributes:
        asked: What hospitals were asked.
        told: What each hospital told.
        sites: What that shows, by hospital.
        together: What all images together show; None with fewer than two hospitals.
        absent: Hospitals that are not in it, with the reason.
        verdict: Whether any of it is an alarm.
        drifting: The hospitals that drift.
        says: The same for people.
    """

    schema_version: Literal[1] = 1
    asked: WatchQuestion
    told: dict[str, WatchAnswer]
    sites: dict[str, Seen]
    together: Seen | None
    absent: dict[str, str]
    verdict: Verdict
    drifting: tuple[str, ...]
    says: tuple[str, ...]

    @model_validator(mode="after")
    def _follows(self) -> Self:
        signs = {name: seen.signs for name, seen in self.sites.items()}
        sites, together = _judged(self.told, signs, self.together.signs if self.together else ())
        drifting, verdict = _verdict(sites, together)
        if (sites, together, drifting, verdict) != (self.sites, self.together, self.drifting, self.verdict):
            raise ValueError("the alarms do not follow from the signs")
        return self


def find_watch(folder: Path) -> DriftWatchResult | None:
    """Returns the result in a downloaded job, or None where it is another job.

    Raises:
        ConfigError: It is not what a job writes.
    """
    for path in (folder / RESULT_FILE, folder / "workspace" / RESULT_FILE):
        if path.is_file():
            return load_json_config(DriftWatchResult, path, "the result of the drift watch")
    return None


def make_result(
    asked: WatchQuestion, answers: Mapping[str, WatchAnswer | TooFewImages], absent: Mapping[str, str]
) -> DriftWatchResult:
    """Returns the result; it does not depend on the order of arrival.

    Args:
        asked: What they were asked.
        answers: What sites told, by name; each fits what was asked.
        absent: Sites that told nothing, with the reason.
    """
    told = {name: answer for name, answer in sorted(answers.items()) if isinstance(answer, WatchAnswer)}
    few = {name: _few(answer) for name, answer in answers.items() if isinstance(answer, TooFewImages)}
    missing = dict(sorted({**absent, **few}.items()))
    reference = asked.reference
    count = (len(told) + 1) * (2 + len(reference.log_volumes))
    signs = {name: _signs([answer], reference, count) for name, answer in told.items()}
    pooled = _signs(list(told.values()), reference, count) if len(told) > 1 else ()
    sites, together = _judged(told, signs, pooled)
    drifting, verdict = _verdict(sites, together)
    return DriftWatchResult(
        asked=asked,
        told=told,
        sites=sites,
        together=together,
        absent=missing,
        verdict=verdict,
        drifting=drifting,
        says=(*_sentences(sites, together), *(f"{name} is not in it: {reason}" for name, reason in missing.items())),
    )


def _few(answer: TooFewImages) -> str:
    needed = least_images(answer.minimum_images)
    return f"below minimum: fewer than {needed} images since it told something last, or none at all"


def _signs(answers: Sequence[WatchAnswer], reference: WatchReference, count: int) -> tuple[Sign, ...]:
    """Returns the signs of some hospitals' images together; `count` are asked at once, at most."""
    images, patients = sum(answer.images for answer in answers), reference.distances.patients
    counts = add_counts(answer.distances for answer in answers)
    unusual = sum(answer.unusual_at_least for answer in answers)
    signs = [
        sign_of_counts(counts.counts, reference.distances, count) if counts else None,
        sign_of_unusual(unusual, images, patients, WARN_COVERAGE),
    ]
    for name, usual in reference.log_volumes.items():
        volumes = [volume for answer in answers if (volume := answer.volumes[name])]
        if usual and volumes:
            found = sum(volume.images for volume in volumes)
            signs.append(sign_of_mean(name, _mean(volumes), found, usual, reference.training_cases))
    return tuple(sign for sign in signs if sign is not None)


def _mean(volumes: Sequence[MeanVolume]) -> float:
    return sum(volume.images * volume.mean_log for volume in volumes) / sum(volume.images for volume in volumes)


def _judged(
    told: Mapping[str, WatchAnswer], signs: Mapping[str, tuple[Sign, ...]], pooled: tuple[Sign, ...]
) -> tuple[dict[str, Seen], Seen | None]:
    """Returns what each hospital's images and all together show, with all signs asked at once."""
    sure = sure_signs([*(sign for one in signs.values() for sign in one), *pooled], LEVEL)

    def seen(images: int, of: tuple[Sign, ...]) -> Seen:
        return Seen(images=images, signs=of, alarms=tuple(sign for sign in of if sign in sure))

    sites = {name: seen(answer.images, signs.get(name, ())) for name, answer in told.items()}
    images = sum(answer.images for answer in told.values())
    return sites, seen(images, pooled) if len(told) > 1 else None


def _verdict(sites: Mapping[str, Seen], together: Seen | None) -> tuple[tuple[str, ...], Verdict]:
    drifting = tuple(name for name, seen in sites.items() if seen.alarms)
    if not sites:
        return drifting, "nothing told"
    return drifting, "drift" if drifting or (together and together.alarms) else "stable"


def _sentences(sites: Mapping[str, Seen], together: Seen | None) -> list[str]:
    if not sites:
        return ["no hospital told anything"]
    said = [f"{name}, {seen.images} images: {_words(seen)}" for name, seen in sites.items()]
    if together:
        said.append(f"all {len(sites)} together, {together.images} images: {_words(together)}")
    return said


def _words(seen: Seen) -> str:
    return "drift: " + "; ".join(map(_sign_words, seen.alarms)) if seen.alarms else "nothing that is sure and matters"


def _sign_words(sign: Sign) -> str:
    size = {
        "images": f"farther away than the calibration's in {sign.size:.0%} of pairs",
        "unusual": f"{sign.size:.0%} unusual images or more",
        "volume": f"volume of {sign.structure} {sign.size:+.2f} deviations",
    }[sign.of]
    return f"{size} (chance {sign.chance:.2g})"
