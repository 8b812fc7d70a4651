"""An invented run of four hospitals, for tests of what is made from an outcome."""

from datetime import UTC, datetime, timedelta

import numpy as np

from fedvoxel.evaluation.baseline import Baseline, CaseRecord
from fedvoxel.evaluation.summary import summarise
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.claim import claim_of
from fedvoxel.federation.outcome import ModelFile, RoundRecord, RunOutcome, SiteScore, ValidationScore
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.privacy.guarantee import PUBLIC_DATA
from fedvoxel.updates.scores import CaseScore

CASES = {"hospital-a": 14, "hospital-b": 11, "hospital-c": 8, "hospital-d": 3}
CLASSES = {"anterior": 0.871, "posterior": 0.856}
STARTED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ROUNDS = 12


def case_scores(site: str, count: int, shift: float = 0.0, noise: int = 0) -> tuple[CaseScore, ...]:
    """Scores of `count` cases: the same cases for every model, `shift` better, with noise of the model's own."""
    case_random = np.random.default_rng([len(site), ord(site[-1])])
    model_random = np.random.default_rng(noise)
    scores = []
    for index in range(count):
        dice = {
            name: float(np.clip(base + shift + case_random.normal(0, 0.02) + model_random.normal(0, 0.008), 0, 1))
            for name, base in CLASSES.items()
        }
        distances = {name: round(1.0 + 12.0 * (0.9 - value), 3) for name, value in dice.items()}
        scores.append(CaseScore(f"case-{ord(site[-1]):02x}{index:06x}", dice, distances))
    return tuple(scores)


def federated_scores() -> dict[str, tuple[CaseScore, ...]]:
    """The federated model's scores of every hospital's unseen cases."""
    return {site: case_scores(site, count, noise=1) for site, count in CASES.items()}


def sample_outcome() -> RunOutcome:
    """A finished run in which hospital-c was missing in two rounds and had an update refused in another."""
    test = {site: summarise(scores) for site, scores in federated_scores().items()}
    return RunOutcome(
        run_key="hippocampus-2026-03",
        job_id="3c5c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11",
        job_name="hippocampus_fedavg",
        status="finished",
        rounds_planned=ROUNDS,
        rounds_committed=ROUNDS,
        best_round=11,
        sites=tuple(CASES),
        rounds=tuple(_round(index) for index in range(ROUNDS)),
        model=ModelFile(file="global_model.npz", sha256="0b" * 32),
        best_model=ModelFile(file="best_model.npz", sha256="1c" * 32),
        test=test,
        unvalidated=Absences(missing={"hospital-c": "lost its connection"}),
        untested=Absences(),
        refused_cases={"hospital-a": 0, "hospital-b": 2},
        started=STARTED,
        finished=STARTED + timedelta(minutes=7, seconds=24),
        versions={"fedvoxel": "0.1.0", "nvflare": "2.9.0", "monai": "1.6.1"},
    )


def private_outcome() -> RunOutcome:
    """The same run under a guarantee for each patient: no scores, and a weight of one from every hospital."""
    section = {"unit": "patient", "clip_norm": 1.0, "noise_multiplier": 5.0, "sampling_probability": 1.0}
    section |= {"steps_per_round": 1, "delta": 1e-4, "expected_batch": 10}
    start = StartModel(run_key="pretraining", sha256="2d" * 32, privacy=PUBLIC_DATA)
    claim = claim_of(
        section,
        RoundsConfig(num_rounds=ROUNDS, evaluate=False),
        start=start,
        plan_source="fixed",
        choices="public",
    )
    records = tuple(
        RoundRecord(round=index, seconds=30.0, contributed=dict.fromkeys(CASES, 1)) for index in range(ROUNDS)
    )
    claimed = {"privacy": claim.text, "guarantee": claim.guarantee, "channels": claim.channels, "start_from": start}
    left_out = {"test": {}, "best_round": None, "best_model": None, "unvalidated": None, "refused_cases": {}}
    return RunOutcome.model_validate(dict(sample_outcome()) | left_out | claimed | {"rounds": records})


def failed_outcome() -> RunOutcome:
    """A run whose first round did not reach its quorum."""
    lost = RoundRecord(
        round=0,
        seconds=61.0,
        contributed={"hospital-a": 42},
        missing={"hospital-b": "no answer within 60 s", "hospital-c": "trainer ended with signal 9"},
    )
    return RunOutcome(
        run_key="hippocampus-2026-03",
        job_id="9d1f0a22-0000-4f0e-a1f7-2b1f6d1e8a11",
        job_name="hippocampus_fedavg",
        status="failed",
        reason="round 0 had 1 of the 2 sites that it needs",
        rounds_planned=ROUNDS,
        rounds_committed=0,
        sites=("hospital-a", "hospital-b", "hospital-c"),
        rounds=(lost,),
        started=STARTED,
        finished=STARTED + timedelta(seconds=75),
    )


def local_baseline(site: str, shift: float) -> Baseline:
    """A model of one hospital alone, `shift` in Dice apart from the federated one."""
    mine = {site: _records(case_scores(site, CASES[site], shift, noise=2))}
    return Baseline(
        kind="local", site=site, epochs=12, seed=1, per_site=mine, federated_per_site=_federated(site), seconds=99.0
    )


def pooled_baseline() -> Baseline:
    """A model trained on all cases in one place, a little better than the federated one."""
    theirs = {site: _records(case_scores(site, count, 0.006, noise=3)) for site, count in CASES.items()}
    return Baseline(kind="pooled", epochs=12, seed=1, per_site=theirs, federated_per_site=_federated(*CASES))


def all_baselines() -> list[Baseline]:
    """Local-only models that are worse, alike and better than the federated one, and a pooled one."""
    shifts = {"hospital-a": -0.022, "hospital-b": -0.001, "hospital-c": 0.03, "hospital-d": -0.06}
    return [*(local_baseline(site, shift) for site, shift in shifts.items()), pooled_baseline()]


def site_score(cases: int, dice: float = 0.8) -> SiteScore:
    """The score of a site with `cases` cases of one class."""
    return summarise([CaseScore(f"case-{index:08x}", {"cord": dice}, {"cord": 1.0}) for index in range(cases)])


def _federated(*sites: str) -> dict[str, tuple[CaseRecord, ...]]:
    return {site: _records(federated_scores()[site]) for site in sites}


def _records(scores: tuple[CaseScore, ...]) -> tuple[CaseRecord, ...]:
    return tuple(CaseRecord(case=s.case, dice=dict(s.dice), hd95_mm=dict(s.hd95_mm)) for s in scores)


def _round(index: int) -> RoundRecord:
    random = np.random.default_rng(index)
    missing = {"hospital-c": "trainer ended with signal 9"} if index in (3, 4) else {}
    refused = {"hospital-c": "non-finite values in model.0.conv.weight"} if index == 7 else {}
    there = [site for site in CASES if site not in missing and site not in refused]
    dice = {site: 0.88 - 0.5 * np.exp(-0.45 * (index + 1)) + random.normal(0, 0.008) for site in there}
    return RoundRecord(
        round=index,
        seconds=30.0 + index % 3,
        contributed={site: 42 + 7 * place for place, site in enumerate(CASES) if site in there},
        missing=missing,
        refused=refused,
        loss={site: float(0.9 * np.exp(-0.25 * index) + 0.12 + random.normal(0, 0.01)) for site in there},
        validation={
            site: ValidationScore(cases=5, dice={"anterior": float(dice[site]), "posterior": float(dice[site]) - 0.015})
            for site in there
        },
        bytes_up=548_000 * len(there),
        bytes_down=548_000 * len(CASES),
    )
