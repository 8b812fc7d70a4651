"""Which sum a round opens, and on which grid the sites add up under secure aggregation: by the job's rules."""

from typing import TYPE_CHECKING

from fedvoxel.federation.robust import BoundedSum, RobustSum
from fedvoxel.federation.robust_config import NormBound, WeightedMean
from fedvoxel.federation.round_sum import CaseWeightedSum, NoisedSum, RoundSum
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.secure_sum import FixedScale, NoisedTotal, Scale, SecureScale, SecureSum, SharedTotal
from fedvoxel.updates.update import Layout

if TYPE_CHECKING:
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
    from fedvoxel.privacy.shared_noise import SharedNoise


def new_sum(config: RoundsConfig, layout: Layout, mechanism: "HospitalMechanism | SharedNoise | None") -> RoundSum:
    """Returns an empty sum for one round."""
    if mechanism is not None:
        return _private_sum(config, layout, mechanism)
    rule, most_cases = config.aggregation, config.max_cases_per_site
    if config.secure_aggregation:
        return SecureSum(most_cases)
    if isinstance(rule, WeightedMean):
        return CaseWeightedSum(layout, most_cases)
    if isinstance(rule, NormBound):
        return BoundedSum(layout, most_cases, rule.most_norm)
    return RobustSum(layout, most_cases, rule)


def new_scale(
    config: RoundsConfig, layout: Layout, mechanism: "HospitalMechanism | SharedNoise | None"
) -> Scale | None:
    """Returns a run's grids of secure aggregation; None where updates are sent as they are."""
    if config.secure_aggregation is None:
        return None
    if mechanism is not None:
        return FixedScale(layout)
    return SecureScale(config.secure_aggregation, layout, config.max_cases_per_site)


def _private_sum(config: RoundsConfig, layout: Layout, mechanism: "HospitalMechanism | SharedNoise") -> RoundSum:
    # Whoever has a mechanism has imported it; other runs are spared the sampler behind it.
    from fedvoxel.privacy.shared_noise import SharedNoise

    if isinstance(mechanism, SharedNoise):
        return SharedTotal(layout, mechanism)
    return NoisedTotal(layout, mechanism) if config.secure_aggregation else NoisedSum(layout, mechanism)
