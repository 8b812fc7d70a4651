"""FedVoxel's rounds as a strategy of plain Flower. Loads only where Flower is installed (the extra `flower`).

The same `Rounds` and `Vetting` as on FedVoxel's server: the same bits whatever the order of arrival, a quorum, and an
update that is not finite, misshapen, absurdly weighted, seen before or a whole model refused by its node's number.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TooFewError, UpdateError
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.site_checks import check_sites
from fedvoxel.federation.vetting import Vetting
from fedvoxel.training.flower_reply import CASES, METRICS, update_of
from fedvoxel.updates.update import Arrays

DICE = "dice."
"""Before a class's name in the metrics of an evaluation."""

_USED = frozenset(
    {"num_rounds", "min_sites", "round_timeout_s", "max_cases_per_site", "evaluate", "aggregation", "server_optimizer"}
)
"""What of a rounds section counts here."""

logger = logging.getLogger(__name__)


class FedVoxelStrategy(FedAvg):
    """Runs a FedVoxel rounds section with the nodes of a Flower federation; all of them train in each round."""

    def __init__(self, rounds: RoundsConfig) -> None:
        """Takes the rounds.

        Raises:
            ConfigError: They ask for what this strategy does not do.
        """
        plain = RoundsConfig(num_rounds=1)
        for name in RoundsConfig.model_fields:
            if name not in _USED and getattr(rounds, name) != getattr(plain, name):
                raise ConfigError(f"rounds.{name}: FedVoxel's strategy in plain Flower does not have it: leave it out")
        least = rounds.min_sites
        super().__init__(
            fraction_evaluate=1.0 if rounds.evaluate else 0.0,
            min_train_nodes=least,
            min_evaluate_nodes=least,
            min_available_nodes=least,
        )
        self._config = rounds
        self._vetting = Vetting("flower", {}, private=False)
        self._state: Rounds | None = None
        self.refused: list[dict[str, str]] = []
        """Who was refused in each round, by the node's number, with the reason."""

    def run(self, grid: Grid, initial_arrays: ArrayRecord) -> Result:
        """Runs all rounds; stands where a Flower project calls `start`.

        Raises:
            TooFewError: A round had fewer usable updates than `min_sites`.
            UpdateError: The first model, or what a round made, is no model that anybody should hold.
        """
        rounds, timeout_s = self._config.num_rounds, self._config.round_timeout_s
        return self.start(grid, initial_arrays, num_rounds=rounds, timeout=timeout_s)

    @property
    def best_model(self) -> Arrays | None:
        """Is the model with the best validation score; None before there is one."""
        return self._state.best_model if self._state else None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Opens the rounds with the first model, and has all nodes train on the present one."""
        if self._state is None:
            self._state = Rounds(self._config, {name: array.numpy() for name, array in arrays.items()})
            self._vetting.begins(self._state.model)
        if self._state.finished:
            raise ConfigError(f"rounds.num_rounds is {self._config.num_rounds}, and another round was asked for")
        check_sites(self._config, [str(node) for node in grid.get_node_ids()], private=False)
        config["num-rounds"] = self._config.num_rounds
        messages: Iterable[Message] = super().configure_train(server_round, arrays, config, grid)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Takes what is in order, refuses the rest by name, and closes the round.

        Raises:
            TooFewError: Fewer than `min_sites` updates were.
            UpdateError: What they make is no model that anybody should hold.
        """
        state = self._opened()
        self.refused.append(self._each(replies, lambda node, content: self._take(state, node, content)))
        accepted, before, index = state.accepted, state.model, state.round
        try:
            state.close_round()
        except TooFewError as error:
            raise TooFewError(f"round {index}: {error} ({self.refused[-1] or 'nobody was refused'})") from None
        self._vetting.moved(index, before, state.model)
        made = ArrayRecord({name: Array(array) for name, array in state.model.items()})
        return made, MetricRecord({"accepted": accepted, "refused": len(self.refused[-1])})

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Takes the nodes' scores of the present model; returns their mean Dice, None without a score."""
        state, scores = self._opened(), dict[str, ValidationScore]()

        def take(node: str, content: Any) -> None:
            scores[node] = self._vetting.weighed(node, _score(dict(content.metric_records.get(METRICS, {}))))
            state.add_validation(node, scores[node])

        self._each(replies, take)
        if state.finished and scores:
            state.score_model()
        mean = mean_dice(scores)
        return None if mean is None else MetricRecord({"dice": mean})

    def _take(self, state: Rounds, node: str, content: Any) -> None:
        update = update_of(content, state.model, self._config.max_cases_per_site)
        digest = self._vetting.check(node, update, state.layout)
        state.add(node, update)
        self._vetting.accept(node, update, digest, state.round)

    def _each(self, replies: Iterable[Message], take: Callable[[str, Any], None]) -> dict[str, str]:
        """Has each usable reply taken, and returns why the others were not, by node."""
        refused: dict[str, str] = {}
        for reply in replies:
            node = str(reply.metadata.src_node_id)
            try:
                if reply.has_error():
                    raise UpdateError("it answered with an error")
                take(node, reply.content)
            except (UpdateError, ConfigError) as error:
                refused[node] = str(error)
                logger.warning("event=reply_refused node=%s reason=%s", node, error)
        return refused

    def _opened(self) -> Rounds:
        if self._state is None:
            raise ConfigError("no round was begun: expected configure_train before replies")
        return self._state


def _score(metrics: dict[str, Any]) -> ValidationScore:
    dice = {name.removeprefix(DICE): value for name, value in metrics.items() if name.startswith(DICE)}
    return parse_config(ValidationScore, {"cases": metrics.get(CASES), "dice": dice}, "a node's validation score")
