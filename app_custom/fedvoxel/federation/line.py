"""What a hospital's line carries: seconds from bytes, round trips, lost segments, and how many share the server's line.

It knows the line's rate, as the provider states it, or what was measured. It does not know other traffic on the line,
a queue on the way that fills up, or the first round trips of a connection, in which TCP has yet to find its pace.
"""

import math
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.traffic import Parcel

Way = Literal["down", "up"]
"""To a site, or from it to the server."""

SEGMENT_BYTES = 1448
"""Content of a full TCP segment with timestamps, on Ethernet."""

CONTENT_SHARE = SEGMENT_BYTES / 1514 * 16384 / 16413
"""Share of the line that is content: heads of Ethernet, IPv4 and TCP in each frame, TLS's in each record."""

TASK_ROUND_TRIPS = 3
"""A site fetches its task, asks whether the answer is still wanted, and says that it has one."""

TASK_S = 0.3
"""What a task takes beside training and transfer on a line without delay: a site asks every 0.2 s when one is near."""


LOADING_AT_ONCE = 4
"""How many sites load the model at once, for the sake of the server's memory; see `flare.pacing`."""

FETCHING_AT_ONCE = 8
"""How many updates the server fetches at once, at most; see `flare.fetching`."""

RESENT_AFTER_S = 30.0
"""When FLARE sends again what has not arrived (in the kits' `local/environment`); see `governance.local_policy`."""

_SHORTEST_S = 0.02
"""A line on which a model takes no longer than this is too fast to be measured with it."""


class LineConfig(FrozenModel):
    """Describes the lines of a consortium.

    Attributes:
        mbit: What each hospital's line carries in each direction, in Mbit/s, heads of packets included.
        rtt_ms: Round-trip time between a hospital and the server, in milliseconds.
        loss: Share of the segments that is lost.
        server_mbit: The server's own line, which all hospitals share; null for one that is never full.
    """

    mbit: float = Field(gt=0, le=1e6)
    rtt_ms: float = Field(default=0.0, ge=0, le=60_000)
    loss: float = Field(default=0.0, ge=0, lt=1)
    server_mbit: float | None = Field(default=None, gt=0, le=1e6)

    @model_validator(mode="after")
    def _loss_costs_round_trips(self) -> Self:
        if self.loss and not self.rtt_ms:
            raise ValueError("loss: what it costs follows from the round-trip time; write rtt_ms as well")
        return self


@dataclass(frozen=True)
class Line:
    """Says how long a transfer takes.

    Attributes:
        down_bytes_s: Bytes of content a second that reach one site whose line nobody shares.
        up_bytes_s: Likewise from one site.
        server_bytes_s: What passes the server's line in each direction, all sites together.
        round_trip_s: What a request for the next piece adds, in seconds.
        task_s: What a task takes beside its work and its arrays, in seconds.
    """

    down_bytes_s: float
    up_bytes_s: float
    server_bytes_s: float = math.inf
    round_trip_s: float = 0.0
    task_s: float = TASK_S

    def bytes_s(self, way: Way, at_once: int) -> float:
        """Returns the bytes a second of each of `at_once` sites."""
        own = self.down_bytes_s if way == "down" else self.up_bytes_s
        return min(own, self.server_bytes_s / max(1, at_once))

    def seconds(self, parcel: Parcel, way: Way, at_once: int) -> float:
        """Returns how long each of `at_once` sites takes for a parcel of its own.

        The next pieces are asked for when the last have come, so that each request costs a round trip.
        """
        return parcel.size_bytes / self.bytes_s(way, at_once) + parcel.requests * self.round_trip_s


def line_of(config: LineConfig) -> Line:
    """Returns what lines like these carry."""
    rtt_s = config.rtt_ms / 1000
    own = min(_content(config.mbit), tcp_bytes_s(rtt_s, config.loss))
    server = math.inf if config.server_mbit is None else _content(config.server_mbit)
    return Line(own, own, server, rtt_s, TASK_ROUND_TRIPS * rtt_s + TASK_S)


class MeasuredLine(FrozenModel):
    """Is what a run without training has measured, with all sites at once, as in a round.

    Attributes:
        sites: How many answered.
        model_bytes: What each was sent, and sent, as arrays.
        empty_s: A question and its answers without arrays, in seconds.
        down_s: A question with the model.
        up_s: A question that is answered with the model.
    """

    sites: int = Field(ge=1)
    model_bytes: int = Field(ge=1)
    empty_s: float = Field(gt=0)
    down_s: float = Field(gt=0)
    up_s: float = Field(gt=0)

    def line(self) -> Line:
        """Returns what the lines carry; delay, loss and what they share are in the rates."""
        loading, fetching = math.ceil(self.sites / LOADING_AT_ONCE), math.ceil(self.sites / FETCHING_AT_ONCE)
        down_s, up_s = (max(taken - self.empty_s, _SHORTEST_S) for taken in (self.down_s, self.up_s))
        return Line(loading * self.model_bytes / down_s, fetching * self.model_bytes / up_s, task_s=self.empty_s)


def tcp_bytes_s(rtt_s: float, loss: float) -> float:
    """Returns what one TCP connection carries at most: MSS / RTT * sqrt(3 / (2 p)) bytes a second.

    This is Reno's; CUBIC behaves so on lines as thin as these, BBR loses less.

    Source: Mathis, Semke, Mahdavi, Ott, "The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm", ACM
    Computer Communication Review 27(3), 1997, equation 3.
    """
    return SEGMENT_BYTES / rtt_s * math.sqrt(1.5 / loss) if loss and rtt_s else math.inf


def _content(mbit: float) -> float:
    return mbit * 1e6 / 8 * CONTENT_SHARE
