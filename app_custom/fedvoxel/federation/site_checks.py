"""What a rounds section cannot do with the sites that are in a run: said before anybody trains."""

from collections.abc import Sequence

from fedvoxel.errors import ConfigError
from fedvoxel.federation.aggregation import MAX_TOTAL_WEIGHT
from fedvoxel.federation.contribution import check_exact
from fedvoxel.federation.robust_config import NormBound, WeightedMean
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.selection_config import AllSites


def check_sites(config: RoundsConfig, sites: Sequence[str], private: bool) -> None:
    """Checks that a job's rounds can be run with these sites.

    Args:
        config: The rounds.
        sites: All sites of the run.
        private: Whether the job has a privacy section, under which every site weighs the same.

    Raises:
        ConfigError: They cannot; it says what to write instead.
    """
    if config.contribution:
        config.contribution.scored_by(sites)
        _check_shapley(config, len(sites))
    _check_named(config, sites)
    summed = isinstance(config.aggregation, WeightedMean | NormBound) and not config.secure_aggregation
    if summed and not private:
        _check_weights(config, sites)


def _check_shapley(config: RoundsConfig, sites: int) -> None:
    rule = config.selection
    asked = sites if isinstance(rule, AllSites) else rule.wanted(sites, config.min_sites)
    if config.contribution and config.contribution.method == "shapley":
        check_exact(asked)


def _check_named(config: RoundsConfig, sites: Sequence[str]) -> None:
    """Finds a misspelt name by its two traces. A site that is named and only not there today leaves just one."""
    strangers = sorted(set(config.case_counts) - set(sites))
    unnamed = sorted(set(sites) - set(config.case_counts))
    if strangers and unnamed:
        raise ConfigError(
            f"case_counts: {', '.join(strangers)} is not in this run, and {', '.join(unnamed)} has no number: correct "
            "the name, name every site, or leave out those that are not there"
        )


def _check_weights(config: RoundsConfig, sites: Sequence[str]) -> None:
    """Sees to it that no honest update can be refused because of what has come before it."""
    most = config.max_cases_per_site
    total = sum(min(most, config.case_counts.get(site, most)) for site in sites)
    if total > MAX_TOTAL_WEIGHT:
        raise ConfigError(
            f"max_cases_per_site: {len(sites)} sites may claim {total} cases, and a round adds up {MAX_TOTAL_WEIGHT} "
            f"exactly; write at most {MAX_TOTAL_WEIGHT // len(sites)}, or each site's number in case_counts"
        )
