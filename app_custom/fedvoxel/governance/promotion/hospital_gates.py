"""What hospitals found on their own cases: enough of them, the package no worse than the release, nobody harmed.

Non-inferior: the whole 95 % interval of the difference lies above minus the margin, for every structure. Harmed: the
interval of a structure lies below zero, so that the model is worse there beyond chance, within the margin or not.

Only a report about this package, against what is released now, on unseen cases of one hospital alone counts, and only
if a person of that hospital stands for it. One that was handed in and does not count makes a gate red: what it would
have said is not known. Of several of one hospital the newest is looked at, by the time of its signature; the worst of
those of the same second.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from fedvoxel.governance.promotion.candidate import Candidate
from fedvoxel.governance.promotion.gate import Gate
from fedvoxel.governance.promotion.handed_in import Comparison, Estimate, Fault, Report, SharedReport
from fedvoxel.governance.promotion.policy import PromotionPolicy

Evaluation = Report[SharedReport]


def faults_of(policy: PromotionPolicy, candidate: Candidate, reports: Sequence[Evaluation]) -> list[Fault]:
    """Returns why reports do not count; empty where all do."""
    found = [(report, _why_not(policy, candidate, report)) for report in reports]
    owners: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        for key in (report.sha256, *report.told.data.hospitals):
            owners[key].add(report.organisation)
    shared = [
        (report, "two organisations stand for a report of one hospital")
        for report in reports
        if any(len(owners[key]) > 1 for key in (report.sha256, *report.told.data.hospitals))
    ]
    return [Fault(report.number, why) for report, why in (*found, *shared) if why]


def newest_of(reports: Sequence[Evaluation]) -> dict[str, tuple[Evaluation, ...]]:
    """Returns each hospital's newest report; several where they were signed in the same second."""
    times = {one.organisation: max(r.at for r in reports if r.organisation == one.organisation) for one in reports}
    return {
        hospital: tuple(one for one in reports if one.organisation == hospital and one.at == times[hospital])
        for hospital in sorted(times)
    }


def hospital_gates(
    policy: PromotionPolicy, candidate: Candidate, newest: Mapping[str, tuple[Evaluation, ...]]
) -> Iterator[Gate]:
    """Yields whether enough hospitals have evaluated the package, and what each found.

    Args:
        policy: What is asked.
        candidate: What reports are about.
        newest: Reports that count; see `newest_of`.
    """
    missing = [name for name in policy.hospitals if name not in newest]
    found = f"{len(newest)}: {', '.join(newest) or 'none'}" + (f"; without {', '.join(missing)}" if missing else "")
    asked = f"{policy.at_least} of {', '.join(policy.hospitals)}"
    yield Gate("hospitals", asked, found, len(newest) >= policy.at_least)
    for hospital, reports in newest.items():
        for report in reports:
            if candidate.against is None:
                yield _good_enough(policy, candidate, hospital, report.told)
            elif report.told.comparison is not None:
                yield _non_inferior(policy, candidate, hospital, report.told.comparison)
                yield _unharmed(hospital, report.told.comparison)


def _why_not(policy: PromotionPolicy, candidate: Candidate, report: Evaluation) -> str | None:
    """Returns why a report does not count, or None."""
    told, who = report.told, report.organisation or "no organisation"
    faults = {
        f"somebody of {who} stands for it, which the policy does not name": who not in policy.hospitals,
        "it is about another package": told.model.package_sha256 != candidate.sha256,
        "it is about several hospitals together; each one's own is asked for": len(told.data.hospitals) != 1,
        "it is not about the test split": told.data.split != "test",
        "it is about too few patients to tell anything": told.below_minimum,
        f"expected a tolerance of {policy.tolerance_mm} mm, got {told.settings.tolerance_mm:g}": (
            policy.tolerance_mm is not None and told.settings.tolerance_mm != policy.tolerance_mm
        ),
    }
    first = next((words for words, true in faults.items() if true), None)
    return first or (None if candidate.against is None else _why_no_comparison(policy, candidate.against, told))


def _why_no_comparison(policy: PromotionPolicy, against: str, told: SharedReport) -> str | None:
    other = told.comparison
    if other is None or other.kind != "model":
        return "it compares with no other package; evaluate with --against the one that is released now"
    if other.package_sha256 != against:
        which = "one that it does not name" if other.package_sha256 is None else "another one"
        return f"it compares with {which}, not with the package that is released now"
    if (other.metric, other.margin) != (policy.metric, policy.margin):
        margin = "no margin" if other.margin is None else f"a margin of {other.margin:g}"
        return f"expected {policy.metric} with a margin of {policy.margin:g}, got {other.metric} with {margin}"
    return None if other.stated_at else "its margin was not stated beforehand"


def _good_enough(policy: PromotionPolicy, candidate: Candidate, hospital: str, told: SharedReport) -> Gate:
    means = {one.name: one.dice if policy.metric == "dice" else one.nsd for one in told.structures}
    bound, missing = policy.first_at_least, candidate.structures - set(means)
    green = bound is not None and not missing and all(_above(one, bound) for one in means.values())
    asked = "the policy lets no first release through" if bound is None else f"{policy.metric} from {bound:g}"
    return Gate(f"good enough at {hospital}", asked, _limits(means, missing), green)


def _non_inferior(policy: PromotionPolicy, candidate: Candidate, hospital: str, other: Comparison) -> Gate:
    differences = {test.whole.structure: test.whole.difference for test in other.tests}
    missing = candidate.structures - set(differences)
    green = not missing and all(
        test.non_inferior is True and _above(test.whole.difference, -policy.margin, strictly=True)
        for test in other.tests
    )
    asked = f"{policy.metric} above {-policy.margin:g}"
    return Gate(f"non-inferior at {hospital}", asked, _limits(differences, missing), green)


def _unharmed(hospital: str, other: Comparison) -> Gate:
    worse = [test.whole.structure for test in other.tests if test.whole.verdict == "worse"]
    groups = sum(group.verdict == "worse" for group in other.groups)
    found = f"worse: {', '.join(worse)}" if worse else "none worse"
    return Gate(
        f"not harmed at {hospital}",
        "no structure worse beyond chance",
        f"{found} (and {groups} of {len(other.groups)} subgroups, which nothing is asked of)",
        not worse,
    )


def _above(one: Estimate, bound: float, strictly: bool = False) -> bool:
    return one.low is not None and (one.low > bound or (one.low == bound and not strictly))


def _limits(means: Mapping[str, Estimate], missing: frozenset[str]) -> str:
    """Returns the lower limits, in words."""
    shown = [f"{name} {'not known' if one.low is None else format(one.low, '.4f')}" for name, one in means.items()]
    shown += [f"{name} not told (too few patients)" for name in sorted(missing)]
    return "lower limits: " + (", ".join(shown) or "none")
