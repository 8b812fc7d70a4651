"""What a job sends, phase by phase: the messages that the server's rounds make, their bytes and their requests.

Exact for arrays in float32 and for masked updates. What a codec writes depends on the update: a made-up one of the same
shapes is encoded, with the same codec, and counted.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from fedvoxel.federation.contribution import most_models
from fedvoxel.federation.contribution_config import ContributionConfig
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.secure_sum import RING_BITS
from fedvoxel.federation.secure_words import SecureWords, secure_words
from fedvoxel.federation.selection_config import AllSites
from fedvoxel.updates.compression.config import AnyCodec
from fedvoxel.updates.compression.payload import Memory, encode
from fedvoxel.updates.correction import CONTROL, Scaffold
from fedvoxel.updates.secure.grid import size_of
from fedvoxel.updates.secure.masked import masked_bytes
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.update import Layout

PIECE_BYTES = 2**20
"""Larger arrays travel in pieces of so many bytes; see `flare.pieces`."""

MESSAGE_BYTES = 2 * 2**20
"""Pieces are put together up to so many bytes for each request (FLARE's np_download_chunk_size)."""

PIECE_HEAD_BYTES = 330
"""What `.npz` adds to each piece."""

_TYPICAL_CHANGE = 0.01


@dataclass(frozen=True)
class Parcel:
    """Is what is counted of one message to or from one site: its arrays, and what secure aggregation says beside them.

    Attributes:
        size_bytes: All bytes, packed.
        requests: How many requests fetch the arrays, the one that finds nothing left included.
        largest_bytes: The largest answer to one request.
        said_bytes: How many of `size_bytes` stand in the message itself and are not fetched.
    """

    size_bytes: int = 0
    requests: int = 0
    largest_bytes: int = 0
    said_bytes: int = 0

    def saying(self, said_bytes: int) -> "Parcel":
        """Returns the parcel with so many bytes in the message itself."""
        largest = max(self.largest_bytes, said_bytes)
        return Parcel(self.size_bytes + said_bytes, self.requests, largest, self.said_bytes + said_bytes)


@dataclass(frozen=True)
class Traffic:
    """Is what a job's messages hold.

    Attributes:
        model: The model alone.
        outgoing: What a round sends to a site that holds nothing: the model, and control variates where there are any.
        change: What it sends to a site that holds the last model; None without a codec on the way down.
        first_update: What a site sends in the first round.
        update: What it sends in the others.
        secure: What secure aggregation says in each round besides; None without it.
    """

    model: Parcel
    outgoing: Parcel
    change: Parcel | None
    first_update: Parcel
    update: Parcel
    secure: SecureWords | None = None


@dataclass(frozen=True)
class Step:
    """Is one question to the sites, asked `times` times.

    Attributes:
        name: What it is, in words.
        sites: Sites that are asked each time.
        down: What each is sent.
        up: What each sends.
        trains: Whether the sites train for it.
        around: Whether it belongs to a round and nobody trains for it.
    """

    name: str
    times: int
    sites: int
    down: Parcel = Parcel()
    up: Parcel = Parcel()
    trains: bool = False
    around: bool = False

    @property
    def of_round(self) -> bool:
        """Says whether it is asked in a round."""
        return self.trains or self.around

    @property
    def site_bytes(self) -> int:
        """Is what passes one site's line each time, both ways."""
        return self.down.size_bytes + self.up.size_bytes


def parcel_of(array_bytes: Iterable[int]) -> Parcel:
    """Returns what arrays of these sizes in bytes are on their way, in the order of the message."""
    pieces = [piece for size in array_bytes for piece in _pieces(size)]
    if not pieces:
        return Parcel()
    messages = [0]
    for piece in pieces:
        if messages[-1] and messages[-1] + piece >= MESSAGE_BYTES:
            messages.append(0)
        messages[-1] += piece + PIECE_HEAD_BYTES
    return Parcel(sum(messages), len(messages) + 1, max(messages))


class EncodedSizes:
    """Remembers what each codec makes of a model, since that takes seconds with a large one."""

    def __init__(self, seed: int = 1) -> None:
        """Takes what the made-up updates are drawn with."""
        self._seed = seed
        self._known: dict[tuple[AnyCodec, tuple[str, ...]], Parcel] = {}

    def of(self, layout: Layout, codec: AnyCodec) -> Parcel:
        """Returns what an encoded difference of these shapes is on its way; a name always has the same shape."""
        key = (codec, tuple(layout))
        if key not in self._known:
            size = encoded_bytes(layout, codec, np.random.default_rng(self._seed))
            self._known[key] = parcel_of([size])
        return self._known[key]


def traffic_of(layout: Layout, config: RoundsConfig, sizes: EncodedSizes, sites: int, private: bool = False) -> Traffic:
    """Returns what the messages of a job hold.

    Args:
        layout: The model's shapes by name.
        config: The job's rounds.
        sizes: Of this model.
        sites: Sites in the job.
        private: Whether it has a privacy section, under which every round's sum takes the widest ring.
    """
    shapes = dict(layout)
    if isinstance(config.correction, Scaffold):
        shapes |= {CONTROL + name: shape for name, shape in layout.items()}
    up, down, whole = config.compression.up, config.compression.down, _plain(shapes)
    change = sizes.of(shapes, down) if down else None
    update = sizes.of(shapes, up) if up else whole
    plain = Traffic(_plain(layout), whole, change, update, update)
    secure = config.secure_aggregation
    if secure is None:
        return plain
    first, later = (
        parcel_of([masked_bytes(Ring(bits), size_of(layout))])
        for bits in (RING_BITS, RING_BITS if private else secure.bits)
    )
    return replace(plain, first_update=first, update=later, secure=secure_words(secure, sites, layout))


def encoded_bytes(layout: Layout, codec: AnyCodec, random: np.random.Generator) -> int:
    """Returns the size of the second of two payloads of made-up differences, which has in it what the first left out.

    Their values are Laplace-distributed, as those of trained models' differences nearly are.

    Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", IEEE Transactions
    on Information Theory 1996.
    """
    payload, kept = b"", Memory()
    for _ in range(2):
        change = {name: random.laplace(0, _TYPICAL_CHANGE, shape).astype(np.float32) for name, shape in layout.items()}
        payload, kept = encode(change, codec, random, kept)
    return len(payload)


def steps_of(config: RoundsConfig, traffic: Traffic, sites: int, begins_with_run: bool) -> tuple[Step, ...]:
    """Returns a job's questions in their order.

    Args:
        config: The job's rounds; as many as are planned are counted, also where patience may end them earlier.
        traffic: What its messages hold.
        sites: Sites in the job.
        begins_with_run: Whether it begins with an earlier run's model, which the server has and no site draws.
    """
    rounds, asked = config.num_rounds, sites
    if not isinstance(config.selection, AllSites):
        asked = config.selection.wanted(sites, config.min_sites)
    later = traffic.outgoing if traffic.change is None else traffic.change
    first = Parcel() if traffic.change is not None and not begins_with_run else traffic.outgoing
    before, dealt, after = _secure(traffic.secure, rounds, asked)
    steps = [
        Step("first model", 0 if begins_with_run else 1, 1, up=traffic.model),
        *before,
        Step("first round", 1, asked, first.saying(dealt), traffic.first_update, trains=True),
        Step("other rounds", rounds - 1, asked, later.saying(dealt), traffic.update, trains=True),
        *after,
        *_contribution(config.contribution, rounds, asked, sites, traffic.model),
        Step("last validation", int(config.evaluate), sites, traffic.change or traffic.model),
        # With a codec nothing is sent where the best model, which is tested, is the last one, which all then hold.
        Step("test (at most)" if traffic.change else "test", int(config.evaluate), sites, traffic.model),
    ]
    return tuple(step for step in steps if step.times)


def _secure(words: SecureWords | None, rounds: int, sites: int) -> tuple[tuple[Step, ...], int, tuple[Step, ...]]:
    """Returns the exchanges before and after each round's training, and what is said with the model in between."""
    if words is None:
        return (), 0, ()
    before = {"secure keys": words.keys, "secure shares": words.shares}
    after = {"secure confirm": words.confirmation, "secure reveal": words.reveal}
    made = [tuple(_said(name, rounds, sites, said) for name, said in each.items()) for each in (before, after)]
    return made[0], words.dealt, made[1]


def _said(name: str, rounds: int, sites: int, said_bytes: tuple[int, int]) -> Step:
    """Returns an exchange without arrays that each round has."""
    down, up = (Parcel().saying(size) for size in said_bytes)
    return Step(name, rounds, sites, down, up, around=True)


def _contribution(
    config: ContributionConfig | None, rounds: int, asked: int, sites: int, model: Parcel
) -> tuple[Step, ...]:
    """Returns the models that are scored to find out what updates are worth."""
    if config is None:
        return ()
    name = "contribution (at most)" if config.method == "gtg_shapley" else "contribution"
    scored_by = len(config.evaluators) if config.evaluators else sites
    return (Step(name, most_models(config.method, asked) * math.ceil(rounds / config.every), scored_by, model),)


def _plain(layout: Layout) -> Parcel:
    return parcel_of(4 * math.prod(shape) for shape in layout.values())


def _pieces(size: int) -> list[int]:
    whole, rest = divmod(size, PIECE_BYTES)
    return [size] if size <= PIECE_BYTES else [PIECE_BYTES] * whole + ([rest] if rest else [])
