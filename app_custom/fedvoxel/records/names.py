"""What runs, cohorts, releases and files are called in every record, each form said once."""

import re
from typing import Annotated

from pydantic import StringConstraints

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"
_RELEASE_ID = r"[0-9a-f]{32}"

RunKey = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
"""A run's key, which is also the name of its folder."""

CohortName = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
"""A cohort's name, which is also that of its ledger's folder."""

AppName = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]
"""The name by which jobs ask for a Flower app on a site's list."""

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,59}$")]
"""A packaged model's name, which is also in that of its file."""

ReleaseId = Annotated[str, StringConstraints(pattern=f"^{_RELEASE_ID}$")]
"""The id of a release in a site's ledger: 128 random bits."""

RunId = Annotated[str, StringConstraints(pattern=f"^{_RELEASE_ID}$")]
"""What tells a run from another that had its key before: 128 random bits."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""The SHA-256 of some bytes, hexadecimal."""

RUN_KEY = re.compile(_NAME)
RELEASE_ID = re.compile(_RELEASE_ID)
PARTICIPANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,62}")
"""The name of a server, relay, site or person in its certificate; it can also name a file."""
