"""Reports that people made with a command: verified where a person has signed that it is theirs, and about this run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError, ConsortiumError, PackageError
from fedvoxel.governance.evidence.artefact import Artefact, Source, Verdict, found, missing, unverified, verified
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.evidence.vouching import REPORTS, voucher_of
from fedvoxel.records.canonical import sha256_of_file

_TOO_FEW = "too few cases to say"
"""What a comparison with too few cases ends with; it is no evidence of a gain or of none."""

_KINDS = {
    "report.json": "results_report",
    "audit.json": "privacy_audit",
    "to_share.json": "evaluation",
    "drift.json": "drift",
}


def report_artefact(path: Path | None, name: str, subject: Subject, package: str | None) -> Artefact:
    """Returns a report as an artefact; as missing where there is none.

    Args:
        path: The file; None where there is none.
        name: What it is called.
        subject: The run that it has to be about.
        package: Identity of this run's package; None where it is not known.
    """
    source, command = Source(_KINDS[name], f"report: {name}"), REPORTS[name]
    if path is None:
        return missing(source, f"none was found; make one with `{command}` and name its folder with --result")
    sha256 = sha256_of_file(path)
    try:
        values = read_json(path, "the report")
        shows, facts = _READ[name](values, subject, package)
    except ConfigError:
        return found(source, sha256, unverified("it is no JSON"))
    except (KeyError, TypeError, AttributeError, ValueError):
        return found(source, sha256, unverified("it is not what the command writes, or is about another run"))
    return found(source, sha256, _verdict(path, command, subject), facts, source.kind, *shows)


def _verdict(path: Path, command: str, subject: Subject) -> Verdict:
    try:
        signer = voucher_of(path, subject.trust, subject.now)
    except (PackageError, ConsortiumError) as problem:
        return unverified(f"it is signed, and the signature does not count: {problem}")
    if signer is None:
        return unverified(f"made by whoever ran `{command}`, and signed by nobody; see fedvoxel evidence vouch")
    # The role alone: a report is often about one hospital, and its pseudonym would be one no more beside a name there.
    return verified(f"somebody with the role {signer.role} has signed that `{command}` wrote it; nothing else says so")


def _results(values: Any, subject: Subject, package: str | None) -> tuple[list[str], Mapping[str, Any]]:
    _check_run(values["run"], subject)
    gains = [gain for gain in values["gains"] if gain["against"] == "local" and gain["class_name"] is None]
    names = subject.pseudonyms
    verdicts = {gain["site"]: str(gain["verdict"])[:100] for gain in gains}
    facts = {pseudonym: verdicts[site] for site, pseudonym in names.items() if site in verdicts}
    told = any(gain["verdict"] != _TOO_FEW for gain in gains)
    return (["gains"] if told else []), {"against_training_alone": facts}


def _audit(values: Any, subject: Subject, package: str | None) -> tuple[list[str], Mapping[str, Any]]:
    _check_run(values, subject)
    done = [name for name in ("membership", "canaries", "inversion") if values[name] is not None]
    claimed, proved = _epsilons(values["canaries"])
    holds = claimed is not None and proved is not None and proved <= claimed
    shows = [*(["attacks"] if "membership" in done else []), *(["accounting_tested"] if holds else [])]
    facts = {"site": subject.pseudonyms[values["site"]], "attacks": done}
    return shows, facts | {"epsilon_claimed": claimed, "epsilon_proved_at_least": proved}


def _epsilons(canaries: Any) -> tuple[float | None, float | None]:
    """Returns what the job's accountant claims, and the lower bound that canaries prove; None where there is none."""
    if canaries is None:
        return None, None
    claimed, proved = canaries["epsilon_claimed"], canaries["epsilon_proved"]
    return None if claimed is None else float(claimed), float(proved)


def _evaluation(values: Any, subject: Subject, package: str | None) -> tuple[list[str], Mapping[str, Any]]:
    if package is None or values["model"]["package_sha256"] != package:
        raise ValueError("another package")
    if values["below_minimum"] is True:
        return [], {"below_minimum": True}
    kinds = sorted({str(row["kind"])[:40] for row in values["groups"]} - {"hospital"})
    told = [_structure(one) for one in values["structures"]]
    hospitals = {str(name) for name in values["data"]["hospitals"]}
    shows = [*(["judged_at_a_hospital"] if told else []), *(["subgroups"] if kinds else [])]
    outside = bool(hospitals) and hospitals.isdisjoint(subject.outcome.sites)
    return shows, {"structures": told, "groups": kinds, "hospitals": len(hospitals), "external": outside}


def _structure(one: Any) -> dict[str, Any]:
    """Returns the Dice of a structure, with a number of patients that the report may tell."""
    dice = one["dice"]
    found = {name: None if dice[name] is None else round(float(dice[name]), 4) for name in ("value", "low", "high")}
    return {"name": str(one["name"])[:80], "patients": int(dice["patients"]), **found}


def _drift(values: Any, subject: Subject, package: str | None) -> tuple[list[str], Mapping[str, Any]]:
    if package is None or values["package"] != package:
        raise ValueError("another package")
    looked = values["verdict"] in ("stable", "drift")
    alarms = sorted({str(sign["of"])[:40] for sign in values["alarms"]})
    return (["watched_in_use"] if looked else []), {"images": int(values["images"]), "alarms": alarms} if looked else {}


def _check_run(told: Any, subject: Subject) -> None:
    if not subject.of_this_run(told["run_key"], told["job_id"]):
        raise ValueError("another run")


_READ = {"report.json": _results, "audit.json": _audit, "to_share.json": _evaluation, "drift.json": _drift}
