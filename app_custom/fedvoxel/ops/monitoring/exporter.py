"""Serves a kit's samples to Prometheus over HTTP."""

from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIServer

from fedvoxel.errors import ConfigError
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.monitoring.collecting import collect
from fedvoxel.ops.monitoring.sample import METRICS, Sample


def serve_metrics(kit: Kit, address: str, port: int) -> tuple[WSGIServer, int]:
    """Begins to answer, in a thread of its own, and returns the server and its port.

    Args:
        kit: Is read anew for each answer.
        address: Where to listen.
        port: 0 takes a free one.

    Raises:
        ConfigError: The package for it is not installed, or nobody may listen there.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError:
        raise ConfigError("metrics need prometheus-client: pip install -c constraints.txt '.[monitoring]'") from None
    registry = CollectorRegistry()
    registry.register(_Kit(lambda: collect(kit)))
    try:
        server, _ = start_http_server(port, address, registry)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address}, port {port}: {error.strerror or type(error).__name__}"
        ) from None
    return server, server.server_port


class _Kit:
    """Is what Prometheus' library asks for samples."""

    def __init__(self, samples: Callable[[], list[Sample]]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[object]:
        """Yields each metric with its samples."""
        from prometheus_client.core import GaugeMetricFamily

        by_name: dict[str, list[Sample]] = {}
        for sample in self._samples():
            by_name.setdefault(sample.metric, []).append(sample)
        for name, samples in by_name.items():
            labels = list(samples[0].labels)
            family = GaugeMetricFamily(f"fedvoxel_{name}", METRICS[name], labels=labels)
            for sample in samples:
                family.add_metric([sample.labels[label] for label in labels], sample.value)
            yield family

    def describe(self) -> list[object]:
        """Says nothing beforehand, so that nothing is read when it is registered."""
        return []
