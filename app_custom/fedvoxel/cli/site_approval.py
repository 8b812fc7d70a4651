"""`fedvoxel site approve | refuse | approvals`: a hospital's people look at a job and say whether the site takes it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.errors import ConsortiumError, JobError

if TYPE_CHECKING:
    from fedvoxel.governance.approval_policy import ApprovalPolicy
    from fedvoxel.governance.approval_record import Record, Word
    from fedvoxel.governance.kit import Kit
    from fedvoxel.governance.submission import Submission

APPROVE_EXAMPLE = "Example: fedvoxel site approve hospital-a 3f9c01d2 --sign kits/physician@hospital-a.example"
REFUSE_EXAMPLE = (
    "Example: fedvoxel site refuse hospital-a 3f9c01d2 --sign kits/physician@hospital-a.example "
    '--reason "the cohort is too small for it"'
)
LIST_EXAMPLE = "Example: fedvoxel site approvals hospital-a"

SiteKit = Annotated[Path, typer.Argument(metavar="SITE_KIT", help="The site's kit.", show_default=False)]
Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="A job folder, or the first 8 or more digits of the hash of one that came.",
        show_default=False,
    ),
]
Sign = Annotated[Path, typer.Option("--sign", help="Your own kit, whose certificate names this hospital.")]
Expect = Annotated[
    str | None, typer.Option("--expect", help="The whole hash of what you have looked at: then nothing is asked.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


def approve(kit: SiteKit, job: Job, sign: Sign, expect: Expect = None) -> None:
    """Shows what a job would run and what changed since the last approved one of its name, and signs it.

    What is approved is one content, byte for byte; the site takes the next submission of exactly that. Exit code 10 if
    the job cannot be approved or is not the one that was expected, 8 if your certificate does not count here.
    """
    opened, submission, record = _open(kit, job)
    _show(opened, submission, record)
    if _refused_code(submission):
        raise JobError("this job's code does what nobody can approve; see above")
    _confirm(submission, expect, "Approve exactly this?")
    _decide(opened, sign, submission, "approved", "")
    _say_standing(opened, submission)


def refuse(
    kit: SiteKit,
    job: Job,
    sign: Sign,
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who will read it; no patient's name.")],
    expect: Expect = None,
) -> None:
    """Signs that a job shall not run here: it stands until you approve the same content yourself."""
    opened, submission, _ = _open(kit, job)
    typer.echo(f"{_named(submission)}\ncontent {submission.sha256}")
    _confirm(submission, expect, "Refuse exactly this?")
    _decide(opened, sign, submission, "refused", reason)
    typer.echo("Refused. See: fedvoxel site approvals " + str(kit))


def approvals(
    kit: SiteKit,
    as_json: AsJson = False,
    save: Annotated[str | None, typer.Option("--save", metavar="HASH", help="Write the files of one job out.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The new folder that --save writes to.")] = None,
) -> None:
    """Lists the jobs that wait for approval, are approved or refused, with who submitted them and who said what."""
    from fedvoxel.governance.approval_policy import load_approval_policy
    from fedvoxel.governance.approvals import Approvals

    opened = _site(kit)
    policy, record = load_approval_policy(opened.local), Approvals(opened).read()
    if save is not None:
        _save(opened, record, save, out)
        return
    listed = [_entry(opened, policy, record, content) for content in record.contents]
    if as_json:
        shown = {"schema_version": 1, "site": opened.name, "policy": policy.model_dump(mode="json"), "jobs": listed}
        typer.echo(json.dumps(shown, indent=2))
        return
    for entry in listed:
        _tell(entry)
    if not listed:
        typer.echo("No job came that needed approval, and none was approved.")
    elif any(entry["standing"] == "pending" for entry in listed):
        typer.echo(f"Next: fedvoxel site approve {kit} HASH --sign YOUR_KIT")


def _open(kit: Path, job: str) -> "tuple[Kit, Submission, Record]":
    from fedvoxel.governance.approval_record import find_content
    from fedvoxel.governance.approvals import Approvals
    from fedvoxel.governance.submission import submission_of_folder

    opened = _site(kit)
    kept = Approvals(opened)
    record = kept.read()
    if Path(job).is_dir():
        return opened, submission_of_folder(Path(job), opened.name), record
    return opened, kept.content(find_content(record, job)), record


def _site(kit: Path) -> "Kit":
    from fedvoxel.governance.kit import open_kit

    opened = open_kit(kit)
    if opened.kind != "site":
        raise ConsortiumError(f"kit {opened.name} is a {opened.kind}'s: sites approve jobs; give the site's kit")
    return opened


def _show(kit: "Kit", submission: "Submission", record: "Record") -> None:
    from fedvoxel.governance.approval_policy import load_approval_policy
    from fedvoxel.governance.approvals import Approvals
    from fedvoxel.governance.submission_changes import changes

    policy = load_approval_policy(kit.local)

    def stands(content: str) -> bool:
        return bool(_entry(kit, policy, record, content)["standing"] == "approved")

    last = record.last_approved(submission.name, submission.sha256, stands)
    before = Approvals(kit).content(last) if last else None
    typer.echo(_named(submission))
    for arrival in record.arrivals:
        if arrival.content == submission.sha256:
            typer.echo(f"submitted by {_plain(arrival.submitter)} of {_plain(arrival.organisation)}")
    typer.echo(
        f"Changed since content {last[:12]}, approved last:" if last else "Nothing of this name was approved before:"
    )
    for line in changes(before, submission) or ["nothing"]:
        typer.echo(f"  {line}")
    _show_code(submission)
    typer.echo(f"content {submission.sha256}")


def _show_code(submission: "Submission") -> None:
    from fedvoxel.governance.code_scan import scan

    if not submission.code:
        typer.echo("It holds settings only, no code.")
        return
    typer.echo("IT HOLDS CODE, which can do what the site's account can do. A scan proves nothing; it found:")
    for finding in scan(submission.files, submission.code):
        typer.echo(f"  {_plain(str(finding))}")


def _refused_code(submission: "Submission") -> bool:
    from fedvoxel.governance.code_scan import scan

    return any(finding.refused for finding in scan(submission.files, submission.code))


def _confirm(submission: "Submission", expect: str | None, question: str) -> None:
    if expect is None:
        typer.confirm(question, abort=True)
    elif expect != submission.sha256:
        raise JobError(f"expected content {expect[:64]}, this is {submission.sha256}; nothing was signed")


def _decide(kit: "Kit", person: Path, submission: "Submission", word: "Word", reason: str) -> None:
    from fedvoxel.governance.approvals import Approvals
    from fedvoxel.records.identity import load_identity

    Approvals(kit).decide(load_identity(person / "startup"), submission, word, reason, datetime.now(UTC))


def _say_standing(kit: "Kit", submission: "Submission") -> None:
    from fedvoxel.governance.approval_policy import load_approval_policy
    from fedvoxel.governance.approvals import Approvals

    entry = _entry(kit, load_approval_policy(kit.local), Approvals(kit).read(), submission.sha256)
    if entry["standing"] == "approved":
        typer.echo("Approved: the site takes this job when it is submitted (again).")
    else:
        said = "; ".join(entry["why"])
        typer.echo(f"Signed. It is {entry['standing']} still: {said}")


def _entry(kit: "Kit", policy: "ApprovalPolicy", record: "Record", content: str) -> dict[str, Any]:
    """Returns what is known of one content, and how it stands by the policy as it is now."""
    from fedvoxel.governance.approval_gate import reason_to_decline
    from fedvoxel.governance.approvals import Approvals

    arrived = [arrival for arrival in record.arrivals if arrival.content == content]
    said = record.last_words(content)
    submission = Approvals(kit).content(content)
    submitters = sorted({arrival.submitter for arrival in arrived if arrival.submitter}) or [""]
    reasons = [reason_to_decline(kit, policy, submission, submitter) for submitter in submitters]
    standing = "refused" if record.refused_by(content) else "approved" if None in reasons else "pending"
    return {
        "content": content,
        "job": submission.name,
        "standing": standing,
        "why": sorted({reason for reason in reasons if reason}),
        "code": list(submission.code),
        "submitters": [
            {"name": each.submitter, "organisation": each.organisation, "job_id": each.job_id} for each in arrived
        ],
        "said": [
            {"person": each.person, "word": each.word, "at": each.at, "reason": each.reason} for each in said.values()
        ],
    }


def _tell(entry: dict[str, Any]) -> None:
    typer.echo(
        f"{entry['standing']:<9} {entry['content'][:12]}  {_plain(entry['job'])}" + (" CODE" if entry["code"] else "")
    )
    for submitter in entry["submitters"]:
        typer.echo(f"          submitted by {_plain(submitter['name'])} of {_plain(submitter['organisation'])}")
    for said in entry["said"]:
        reason = f": {_plain(said['reason'])}" if said["reason"] else ""
        typer.echo(f"          {said['word']} by {_plain(said['person'])} at {said['at']}{reason}")


def _save(kit: "Kit", record: "Record", beginning: str, out: Path | None) -> None:
    from fedvoxel.governance.approval_record import find_content
    from fedvoxel.governance.approvals import Approvals
    from fedvoxel.records.atomic import write_bytes

    if out is None or out.exists():
        raise JobError("--save writes to a new folder: name one that does not exist with --out")
    submission = Approvals(kit).content(find_content(record, beginning))
    for path, content in submission.files.items():
        place = (out / path).resolve()
        if not place.is_relative_to(out.resolve()):
            raise JobError("the kept job names a file outside of its folder; nothing more was written")
        write_bytes(place, content, mode=0o600)
    typer.echo(f"Wrote {len(submission.files)} files to {out}. Read them; do not run them.")


def _named(submission: "Submission") -> str:
    return f"job {_plain(submission.name)}: {len(submission.files)} files"


def _plain(text: str) -> str:
    from fedvoxel.governance.submission_changes import shown

    return shown(text)
