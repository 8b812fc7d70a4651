"""The hospital's own privacy policy, `local/fedvoxel_privacy.json`: what may be spent on each cohort, ever.

A cohort that is not in the file, or a file that is missing or wrong, has no budget: nothing is released about it under
a privacy mechanism. A job can neither read nor change the policy.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.privacy.guarantee import PrivacyUnit

PRIVACY_FILE = "fedvoxel_privacy.json"
"""The name of the policy in the kit's `local/` folder."""

CohortName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]
"""A cohort's name, which is also that of its ledger's folder."""


class CohortBudget(FrozenModel):
    """Says what may be spent on one cohort over all runs, for as long as it exists.

    Attributes:
        unit: Who is protected.
        epsilon: Upper bound of the sum of all runs' epsilon, > 0.
        delta: Upper bound of the sum of all runs' delta, in (0, 1); at most a tenth of one over the number of patients
            is advised.
    """

    unit: PrivacyUnit
    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)


class PrivacyPolicy(FrozenModel):
    """Is the content of `local/fedvoxel_privacy.json`."""

    schema_version: Literal[1]
    cohorts: dict[CohortName, CohortBudget] = Field(default_factory=dict)

    def budget(self, cohort: str) -> CohortBudget:
        """Returns what may be spent on a cohort.

        Raises:
            ConfigError: The policy grants nothing for it.
        """
        if cohort not in self.cohorts:
            had = ", ".join(sorted(self.cohorts)) or "none"
            raise ConfigError(
                f"the site's privacy policy grants no budget for cohort {cohort!r} (it does for: {had}); "
                f"the site adds one to local/{PRIVACY_FILE}"
            )
        return self.cohorts[cohort]


def load_privacy_policy(local: Path) -> PrivacyPolicy:
    """Reads the policy in a kit's `local/` folder.

    Raises:
        ConfigError: It is missing, is not JSON, or has a wrong key.
    """
    return load_json_config(PrivacyPolicy, local / PRIVACY_FILE, "the site's privacy policy")
