"""The hospital's own rule of approval, `local/fedvoxel_approval.json`: how many of its people must have seen a job.

A job can neither read nor change it. A file that is missing or wrong approves nothing: the site takes no job then.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.records.atomic import write_json
from fedvoxel.records.names import CohortName

APPROVAL_FILE = "fedvoxel_approval.json"
"""The name of the policy in the kit's `local/` folder."""

_WHAT = "the site's approval policy"
Approvals = Annotated[int, Field(ge=0, le=2)]


class ApprovalPolicy(FrozenModel):
    """Is the content of `local/fedvoxel_approval.json`.

    Attributes:
        approvals: Of how many different people of this hospital a job needs the approval: 0, 1 or 2.
        cohorts: The same for jobs on one cohort, in the place of `approvals`.
        submitter_may_approve: Whether the approval of who submitted the job counts.
        code: Whether a job with code is never taken, or once it is approved; somebody must have the right byoc too.
    """

    schema_version: Literal[1] = 1
    approvals: Approvals = 0
    cohorts: dict[CohortName, Approvals] = Field(default_factory=dict)
    submitter_may_approve: bool = True
    code: Literal["never", "approved"] = "never"

    @property
    def most(self) -> int:
        """Is the most approvals that a job without code can need."""
        return max(self.approvals, *self.cohorts.values(), 0)

    def needed(self, cohorts: Collection[str], has_code: bool) -> int:
        """Returns how many approvals a job needs.

        Args:
            cohorts: The cohorts that it names; where it names none, or is code, it might use any.
            has_code: Whether anything but settings would run: at least one person must have seen that.
        """
        if has_code:
            return max(1, self.most)
        return max((self.cohorts.get(name, self.approvals) for name in cohorts), default=self.most)


def load_approval_policy(local: Path) -> ApprovalPolicy:
    """Reads the policy in a kit's `local/` folder.

    Raises:
        ConfigError: It is missing, is not JSON, or has a wrong key.
    """
    return load_json_config(ApprovalPolicy, local / APPROVAL_FILE, _WHAT)


def write_approval_policy(local: Path, policy: ApprovalPolicy) -> None:
    """Writes the policy into a kit's `local/` folder, whole or not at all, for its owner alone."""
    write_json(local / APPROVAL_FILE, policy.model_dump(mode="json"), mode=0o600)
