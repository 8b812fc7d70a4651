"""What of a job lies at a site, and who signed it, as far as that counts at the site."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedvoxel.flare.job_signer import signer_of
from fedvoxel.governance.fetched_list import site_lists
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.submission import Submission, submission_of


@dataclass(frozen=True)
class ArrivedJob:
    """Is what would run, and who submitted it: name and organisation; both empty where nobody has signed it."""

    submission: Submission
    submitter: str = ""
    organisation: str = ""


def arrived_job(kit: Kit, meta: Mapping[str, Any], app: Path) -> ArrivedJob:
    """Reads an app that FLARE has unpacked.

    Args:
        kit: The site's.
        meta: What the server says of the job.
        app: The app's folder.

    Raises:
        JobError: Nobody could look at it all, or its signature does not count; see `job_signer.signer_of`.
        ConsortiumError: The kit's root or revocation list cannot be used.
    """
    submission = submission_of(meta, app)
    signer = signer_of(app, kit.root_certificate, site_lists(kit), datetime.now(UTC))
    return ArrivedJob(submission, signer.name, signer.organisation) if signer else ArrivedJob(submission)
