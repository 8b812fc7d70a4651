"""Whether an outcome's contributions tell how many cases a site has."""

from fedvoxel.federation.channels import CASE_COUNTS
from fedvoxel.federation.outcome import MASKED, RunOutcome


def tells_case_counts(run: RunOutcome) -> bool:
    """Says whether what the sites contributed are numbers of cases, rather than a weight that is the same for all."""
    the_same = any(channel.name == CASE_COUNTS and channel.status == "off" for channel in run.channels)
    return not the_same and not was_masked(run)


def was_masked(run: RunOutcome) -> bool:
    """Says whether the server learned sums of updates only."""
    return any(record.codecs.get("up", "").startswith(MASKED) for record in run.rounds)
