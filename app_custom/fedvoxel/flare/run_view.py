"""What a run shows of itself while it goes on, under FLARE's show_stats."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.rounds import Rounds


class RunView:
    """Is the progress of a run, for people who watch it; nothing is decided by it."""

    def __init__(self) -> None:
        """Shows nothing yet."""
        self._view: dict[str, Any] = {"sites": {}}

    def show(self, **changes: Any) -> None:
        """Shows values by name, in place of earlier ones."""
        self._view |= changes

    def sites(self, names: Sequence[str], state: str) -> None:
        """Shows these sites, all in one state, and no others."""
        self._view["sites"] = {site: {"state": state, "reason": None} for site in names}

    def site(self, name: str, state: str) -> None:
        """Shows one site's state."""
        self._view["sites"][name] = {"state": state, "reason": None}

    def absent(self, state: str, reasons: Mapping[str, str]) -> None:
        """Shows sites that gave no usable reply, each with its reason."""
        self._view["sites"] |= {site: {"state": state, "reason": reason} for site, reason in reasons.items()}

    def scores(self, rounds: Rounds) -> None:
        """Shows the score of every validated round."""
        self._view["validation"] = [
            {
                "round": index,
                "mean_dice": mean_dice(scores),
                "sites": {site: mean_dice({site: score}) for site, score in scores.items()},
            }
            for index, scores in enumerate(rounds.validation)
        ]

    def shown(
        self, waits: Sequence[Mapping[str, Any]] = (), given_up: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Returns what is shown, as JSON; nothing before the run has said how many rounds it plans.

        Args:
            waits: Who is waited for at the moment; see `SiteTasks.waits`.
            given_up: Who is not waited for at the moment, and why; see there.
        """
        if "rounds_planned" not in self._view:
            return {}
        gone = {site: {"state": "missing", "reason": reason} for site, reason in (given_up or {}).items()}
        return self._view | {"sites": self._view["sites"] | gone, "waits": list(waits)}
