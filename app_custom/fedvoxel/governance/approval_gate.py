"""Whether a hospital's own rule of approval lets a job run, decided on what would really run, whoever asks.

The site's parent process asks before anything of a job is put in place, and its job process again whenever something is
about to leave: what was changed in between, or is not approved any more, lets nothing out.
"""

from fedvoxel.governance.approval_policy import ApprovalPolicy
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.code_scan import scan
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.submission import Submission

APPROVES_FIRST = "this hospital approves jobs before it takes them"
"""How a reason begins that goes away once people of the hospital approve the job."""


def reason_to_decline(kit: Kit, policy: ApprovalPolicy, submission: Submission, submitter: str | None) -> str | None:
    """Returns why the site does not take a job, in words that may leave it; None where it does.

    Args:
        kit: The site's.
        policy: Its rule.
        submission: What would run.
        submitter: Who has signed that; None where nobody has.

    Raises:
        JobError: The job's settings cannot be read.
        LedgerError: The record of approvals cannot be trusted.
        ConsortiumError: The kit's root or revocation list cannot be used.
    """
    code = submission.code
    if code and policy.code == "never":
        return "this hospital takes no job with code"
    if any(finding.refused for finding in scan(submission.files, code)):
        return "the job's code does what this hospital lets nobody approve; a scan of it says what"
    content = submission.sha256
    record = Approvals(kit).read(about=content)
    if record.refused_by(content):
        return f"a person of this hospital has refused this job (content {content[:12]})"
    needed = policy.needed(submission.cohorts, bool(code))
    if not needed:
        return None
    if submitter is None:
        return f"{APPROVES_FIRST}, and nobody has signed this one"
    approved = [name for name in record.approved_by(content) if policy.submitter_may_approve or name != submitter]
    if len(approved) >= needed:
        return None
    return (
        f"{APPROVES_FIRST}: {len(approved)} of {needed} approvals for content "
        f"{content[:12]}; submit it again when its people have approved it"
    )
