"""Names for a run's sites that tell nothing of them to who has not the run's outcome."""

import hmac
from collections.abc import Sequence


def pseudonyms_of(outcome: bytes, sites: Sequence[str]) -> dict[str, str]:
    """Returns "site-1", "site-2", ... in an order that only who has the outcome can work out.

    Args:
        outcome: The bytes of the run's outcome.json.
        sites: The run's sites by name.
    """
    in_order = sorted(sites, key=lambda site: hmac.digest(outcome, site.encode(), "sha256"))
    return {site: f"site-{1 + index}" for index, site in enumerate(in_order)}
