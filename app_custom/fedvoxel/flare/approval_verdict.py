"""What a check of a job says where the hospital's own people have to approve jobs: that it waits, for whom, and how."""

import re
from dataclasses import replace
from pathlib import Path

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.job_admission import Submitter, Verdict
from fedvoxel.governance.approval_gate import APPROVES_FIRST, reason_to_decline
from fedvoxel.governance.approval_policy import load_approval_policy
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.submission import submission_of_folder

_STANDING = re.compile(rf"{APPROVES_FIRST}: (?P<given>\d+) of (?P<needed>\d+) approvals for content (?P<content>\w+)")


def with_approval(verdict: Verdict, kit: Kit, job: Path, submitter: Submitter) -> Verdict:
    """Returns a verdict by a site's own kit with what the site's rule of approval says of the job as it lies there.

    Args:
        verdict: What the site says to the job otherwise.
        kit: The site's; nobody else approves jobs.
        job: The job folder.
        submitter: Who would submit it.
    """
    if kit.kind != "site":
        return verdict
    try:
        policy, submission = load_approval_policy(kit.local), submission_of_folder(job, kit.name)
        reason = reason_to_decline(kit, policy, submission, submitter.name)
    except FedVoxelError as problem:
        return replace(verdict, accepted=False, reasons=(*verdict.reasons, str(problem)))
    if reason is None:
        return verdict
    found = _STANDING.match(reason)
    if found is None:
        return replace(verdict, accepted=False, reasons=(reason, *verdict.reasons))
    said = (
        f"waits for approval: {found['given']} of {found['needed']} people of this hospital have approved it (content "
        f"{found['content']}); they do with: fedvoxel site approve {kit.folder} {job} --sign THEIR_KIT"
    )
    if verdict.accepted:
        return replace(verdict, accepted=False, waits=True, reasons=(said, *verdict.reasons))
    return replace(verdict, reasons=(*verdict.reasons, said))


def not_deployed(site: str, said: str) -> Verdict:
    """Returns the verdict of a site that did not take the job by which it was asked, and why, as the site says.

    That job is another than the one it asks about: nobody there has approved it, whatever they said of that one.
    """
    found = _STANDING.search(said)
    if found is None:
        return Verdict(site, False, (f"refused the deployment: {said}",))
    reason = (
        f"waits for approval by {found['needed']} people of this hospital, unless they have given it: it takes no job "
        "before, nor this check, so that nothing else is known. They look at the job folder, or at the job once it "
        "came: fedvoxel site approve SITE_KIT JOB --sign THEIR_KIT; fedvoxel site approvals SITE_KIT says how it stands"
    )
    return Verdict(site, False, (reason,), waits=True)
