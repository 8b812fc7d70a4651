"""The table of a cross-site evaluation: every model on every site's unseen cases."""

from collections.abc import Mapping
from typing import Literal

from fedvoxel.config import FrozenModel
from fedvoxel.federation.outcome import SiteScore

CROSS_SITE_FILE = "cross_site.json"
"""The name of the table in a job's workspace."""

GLOBAL_MODEL = "global"
"""The name under which the federated model stands beside the sites' own."""


class CrossSiteTable(FrozenModel):
    """Holds the scores of each model at each site.

    Attributes:
        run_key: The run whose models were evaluated.
        job_id: The FLARE job that evaluated them.
        scores: Score by model (`global`, or the site that trained it) and by site.
        missing: Why a model or a score is missing: by site for models, by "model at site" for scores.
    """

    schema_version: Literal[1] = 1
    run_key: str
    job_id: str
    scores: Mapping[str, Mapping[str, SiteScore]]
    missing: Mapping[str, str]
