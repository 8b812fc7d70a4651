"""What of a job lies at a site, and who signed it, as FLARE's own check of the signature says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.lighter.tool_consts import NVFLARE_SIG_FILE
from nvflare.lighter.utils import verify_folder_signature_and_get_signers

from fedvoxel.errors import JobError
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
        JobError: Its signature is not of this content, or of several people; or nobody could look at it all.
    """
    submission = submission_of(meta, app)
    if not (app / NVFLARE_SIG_FILE).exists():
        return ArrivedJob(submission)
    verified, signers = verify_folder_signature_and_get_signers(str(app), str(kit.root_certificate))
    if not verified or len(signers) != 1:
        raise JobError("the job's signature is not one person's of this content")
    name, organisation, _ = signers[0]
    return ArrivedJob(submission, str(name), str(organisation))
