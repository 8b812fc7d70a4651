"""`fedvoxel cohort exclude`, `exclusions`: takes a patient who objects out of all cohorts, and says what was trained.

An identifier comes from a prompt or a file and is turned into the site's pseudonym at once; it is neither an option,
nor shown, nor written anywhere.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.errors import CohortError, ConfigError

if TYPE_CHECKING:
    from fedvoxel.volumes.exclusions import Exclusions
    from fedvoxel.volumes.known_patient import Known
    from fedvoxel.volumes.site import SiteConfig
    from fedvoxel.volumes.used_patients import Uses

EXCLUDE_EXAMPLE = "Example: fedvoxel cohort exclude --site hospital-a/local/fedvoxel_site.json"
LIST_EXAMPLE = "Example: fedvoxel cohort exclusions --site hospital-a/local/fedvoxel_site.json"

_TASKS = {"excluded": "cohort exclude", "readmitted": "cohort exclude --undo"}
_PSEUDONYM = re.compile(r"case-[0-9a-f]{12}")
_CANNOT_BE_UNDONE = (
    "What this does not undo: a model that was trained on the patient keeps what it learnt from the scans, and copies "
    "of it that were exported or handed on cannot be called back from here. Give the run keys to the consortium's "
    "operator, who can withdraw the releases that came of them; only a model that is trained anew, without the "
    "patient, is free of that. Scores, statistics and noised releases that have left stay where they are."
)

SiteOption = Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


def exclude(
    site: SiteOption,
    patient_file: Annotated[
        Path | None,
        typer.Option(help="A file with the patient's identifier in one line, as the lists or DICOM have it."),
    ] = None,
    pseudonym: Annotated[
        str | None, typer.Option(help="The site's own pseudonym of the patient (case-...), from a --key-file.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the patient back in; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why the patient is back in; stays on record. No name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Takes one patient out of all present and future cohorts of this site, and lists the runs that used the patient.

    Without --patient-file or --pseudonym it asks for the identifier (PatientID, or the patient of a table) and does not
    show it. It holds from the next task of a job on; what was built of the patient is removed by the next build.

    Exit codes: 3 if the site's file or the pseudonym is wrong; 5 if a cohort cannot be listed or the list of excluded
    patients cannot be trusted; 12 if it cannot be written.
    """
    from fedvoxel.volumes.exclusions import Exclusions
    from fedvoxel.volumes.known_patient import known_names
    from fedvoxel.volumes.site import load_site_config
    from fedvoxel.volumes.used_patients import uses_of

    config, base = load_site_config(site), site.parent
    known, listed = known_names(config, _pseudonym(config, patient_file, pseudonym), base), Exclusions(config, base)
    changed = listed.readmit(known.names, reason) if undo else listed.exclude(known.names)
    _audit(base, listed)
    uses = uses_of(known.names, base)  # only then: whatever is wrong with a record, the patient is out
    if as_json:
        said = {"excluded": not undo, "changed": changed, **_names(known)}
        typer.echo(json.dumps({"schema_version": 1, **said, **_uses(uses), "note": _CANNOT_BE_UNDONE}, indent=2))
        return
    _tell_change(known, undo, changed)
    _tell_uses(uses)
    if not undo:
        again = f"Next: build the cohorts again that are built from DICOM: fedvoxel cohort build --site {site}"
        typer.echo(f"{_CANNOT_BE_UNDONE}\n{again}")


def exclusions(site: SiteOption, as_json: AsJson = False) -> None:
    """Lists who is out now, by pseudonym, the runs that used each, and every change with its reason."""
    from fedvoxel.volumes.exclusions import Exclusions
    from fedvoxel.volumes.site import load_site_config
    from fedvoxel.volumes.used_patients import uses_of

    listed = Exclusions(load_site_config(site), site.parent)
    out, changes = sorted(listed.patients()), listed.changes()
    uses = {patient: uses_of((patient,), site.parent) for patient in out}
    if as_json:
        entries = [{"patient": patient, **_uses(uses[patient])} for patient in out]
        changed = [asdict(change) for change in changes]
        typer.echo(json.dumps({"schema_version": 1, "excluded": entries, "changes": changed}, indent=2))
        return
    for patient in out:
        typer.echo(patient)
        _tell_uses(uses[patient])
    for change in changes:
        why = f": {change.reason}" if change.reason else ""
        typer.echo(f"{change.at} {change.kind} {', '.join(change.patients)}{why}")
    typer.echo(f"{len(out)} pseudonyms are out of all cohorts of this site")


def _audit(base: Path, listed: "Exclusions") -> None:
    """Notes in the site's log what of the list is not noted there; who it is about stands in the list alone.

    That is the last change, and those before it that a power cut or a full disk has kept from the log.
    """
    from fedvoxel.records.audit import AuditLog, events_of
    from fedvoxel.records.audit_event import AuditEvent

    with AuditLog(base.resolve().parent / "state").writing() as log:
        noted = sum(event.kind == "command" and event.task in _TASKS.values() for _, event in events_of(log.entries))
        missing = listed.changes()[noted:]
        events = [
            AuditEvent(kind="command", outcome="done", task=_TASKS[change.kind], reason=change.reason)
            for change in missing
        ]
        log.append_each(event.body() for event in events)


def _pseudonym(config: "SiteConfig", patient_file: Path | None, pseudonym: str | None) -> str:
    if pseudonym is not None and patient_file is not None:
        raise ConfigError("give --pseudonym or --patient-file, not both")
    if pseudonym is not None:
        if not _PSEUDONYM.fullmatch(pseudonym):
            # What came is not repeated: it may be what must never stand in a terminal's history.
            raise ConfigError(
                "--pseudonym: expected case- and 12 hexadecimal digits; a patient's own identifier is never given on "
                "the command line: leave the option out, and you are asked for it"
            )
        return pseudonym
    identifier = _identifier(patient_file).strip()
    if not identifier:
        raise ConfigError("expected a patient's identifier, got nothing")
    return config.pseudonym_of(identifier)


def _identifier(patient_file: Path | None) -> str:
    if patient_file is None:
        return str(typer.prompt("The patient's identifier (not shown)", hide_input=True))
    try:
        lines = patient_file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigError("--patient-file: expected a text file that can be read") from None
    named = [line for line in lines if line.strip()]
    if len(named) != 1:
        raise CohortError(f"--patient-file: expected one identifier in one line, got {len(named)} lines")
    return named[0]


def _names(known: "Known") -> dict[str, Any]:
    listed = {"cohorts": list(known.cohorts), "cohorts_not_built": list(known.unbuilt)}
    return {"patient": sorted(known.names), **listed}


def _uses(uses: "Uses") -> dict[str, Any]:
    return {"runs": [asdict(run) for run in uses.runs], "runs_unknown": list(uses.unknown)}


def _tell_change(known: "Known", undo: bool, changed: bool) -> None:
    said = "back in" if undo else "out of all present and future cohorts of this site"
    typer.echo(f"{', '.join(sorted(known.names))}: {said}" + ("" if changed else " already; nothing changed"))
    where = ", ".join(known.cohorts)
    typer.echo(
        f"listed today in: {where}" if known.cohorts else "note: no cohort lists this patient today; is it right?"
    )
    if known.unbuilt and not undo:
        typer.echo(
            "note: not built today, so that nobody can tell whether they list the patient, perhaps under another name: "
            f"{', '.join(known.unbuilt)}; give this command again once they are built"
        )


def _tell_uses(uses: "Uses") -> None:
    for run in uses.runs:
        typer.echo(f"  run {run.run_key}: {run.use} on cohort {run.cohort}, since {run.since}")
    if not uses.runs:
        typer.echo("  no recorded run used the patient")
    if uses.unknown:
        many = ", ".join(uses.unknown)
        typer.echo(f"  no record, or a damaged one; may have used the patient if the cohort listed one then: {many}")
