"""The server's part: Flower's FedAvg from the common first model, which goes without torch."""

from collections.abc import Sequence
from pathlib import Path

from flwr.app import Array, ArrayRecord, Context, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from benchmarks.peers.setting import read_setting
from fedvoxel.updates.weights_file import load_weights, save_weights

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Runs all rounds with all hospitals and writes the last model.

    Raises:
        RuntimeError: A hospital did not reply in some round, so that the work was not the same.
    """
    setting = read_setting(Path(str(context.run_config["setting"])))
    sites = len(setting.site_files)
    first = ArrayRecord({name: Array(array) for name, array in load_weights(Path(setting.initial)).items()})
    # Hospitals validate within their training message, as the other systems do: a message of its own would cost more.
    strategy = FedAvg(
        fraction_evaluate=0.0, min_train_nodes=sites, min_available_nodes=sites, train_metrics_aggr_fn=_count
    )
    result = strategy.start(grid, first, num_rounds=setting.rounds)
    replies = [int(metrics["replies"]) for metrics in result.train_metrics_clientapp.values()]
    if replies != [sites] * setting.rounds:
        raise RuntimeError(f"error: expected {sites} replies in each of {setting.rounds} rounds, got {replies}")
    save_weights(Path(setting.model), {name: array.numpy() for name, array in result.arrays.items()})


def _count(replies: Sequence[RecordDict], weighted_by: str) -> MetricRecord:
    return MetricRecord({"replies": len(replies)})
