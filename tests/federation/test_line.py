"""What a line carries, by hand: heads of packets, Mathis' bound, the server's line, and what was measured."""

import math

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.line import Line, LineConfig, MeasuredLine, line_of, tcp_bytes_s
from fedvoxel.federation.traffic import Parcel


def test_a_line_carries_the_content_of_its_packets() -> None:
    line = line_of(LineConfig(mbit=4))
    # 500,000 bytes a second, of which 1448 of 1514 in a frame, of which 16384 of 16413 in a TLS record.
    assert line.down_bytes_s == line.up_bytes_s == pytest.approx(477_358, abs=1)
    assert line.bytes_s("down", 1) == line.bytes_s("down", 100)


def test_a_transfer_is_bytes_over_rate_and_a_round_trip_for_each_request() -> None:
    line = Line(down_bytes_s=1000.0, up_bytes_s=500.0, round_trip_s=0.06)
    parcel = Parcel(size_bytes=3000, requests=4)
    assert line.seconds(parcel, "down", 1) == pytest.approx(3 + 0.24)
    assert line.seconds(parcel, "up", 1) == pytest.approx(6 + 0.24)
    assert line.seconds(Parcel(), "up", 1) == 0


def test_round_trips_of_a_task_count_too() -> None:
    assert line_of(LineConfig(mbit=4, rtt_ms=100)).task_s == pytest.approx(3 * 0.1 + 0.3)


def test_losses_bound_the_rate_as_mathis_says() -> None:
    # 1448 bytes / 60 ms * sqrt(3 / 0.02) = 24,133 * 12.247
    assert tcp_bytes_s(0.06, 0.01) == pytest.approx(295_572, rel=1e-4)
    assert tcp_bytes_s(0.06, 0.0) == math.inf
    assert line_of(LineConfig(mbit=4, rtt_ms=60, loss=0.01)).up_bytes_s == pytest.approx(295_572, rel=1e-4)
    slow = line_of(LineConfig(mbit=1, rtt_ms=60, loss=0.01))
    assert slow.up_bytes_s == pytest.approx(477_358 / 4, rel=1e-4), "a line slower than the bound stays as it is"


def test_the_servers_line_is_shared_by_all_who_use_it_at_once() -> None:
    line = line_of(LineConfig(mbit=4, server_mbit=8))
    assert line.bytes_s("down", 2) == pytest.approx(477_358, abs=1)
    assert line.bytes_s("down", 4) == pytest.approx(477_358 / 2, abs=1)


def test_losses_without_a_round_trip_time_are_refused() -> None:
    with pytest.raises(ConfigError, match="rtt_ms"):
        parse_config(LineConfig, {"mbit": 4, "loss": 0.01}, "the line")


@pytest.mark.parametrize("wrong", [{"mbit": 0}, {"mbit": 4, "rtt_ms": -1}, {"mbit": 4, "loss": 1.0, "rtt_ms": 1}])
def test_impossible_lines_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        parse_config(LineConfig, wrong, "the line")


def test_a_measured_line_has_the_rates_of_each_turn() -> None:
    measured = MeasuredLine(sites=6, model_bytes=1_000_000, empty_s=0.5, down_s=4.5, up_s=2.5)
    line = measured.line()
    assert line.down_bytes_s == pytest.approx(2 * 1_000_000 / 4), "six sites load in two turns of four at most"
    assert line.up_bytes_s == pytest.approx(1_000_000 / 2), "six updates are fetched at once"
    assert (line.task_s, line.round_trip_s) == (0.5, 0.0)


def test_a_line_too_fast_to_be_measured_is_not_divided_by_nothing() -> None:
    line = MeasuredLine(sites=1, model_bytes=1000, empty_s=0.5, down_s=0.4, up_s=0.5).line()
    assert math.isfinite(line.down_bytes_s) and line.down_bytes_s > 0
