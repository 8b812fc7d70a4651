"""What does secure aggregation cost? Five million values, eight sites, one of which drops out in the middle.

Every message of one round is made and read by the code that runs over FLARE. Bytes are those of the messages as JSON
and of the masked updates; seconds are the processor's, on one thread, the median over the sites and over repetitions.
Beside it the same update with the plain int8 codec, packed with zstd and not.

    python -m benchmarks.secure_aggregation
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.lighter.utils import Identity as Subject
from nvflare.lighter.utils import generate_cert, generate_keys, serialize_cert, serialize_pri_key

from benchmarks import RESULTS
from fedvoxel.records.atomic import write_json, write_text
from fedvoxel.records.identity import Identity, load_identity
from fedvoxel.updates.compression.config import Blockwise
from fedvoxel.updates.compression.payload import decode, encode
from fedvoxel.updates.secure.collector import Collector
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.grid import to_steps
from fedvoxel.updates.secure.member import Member
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import session_name

SITES = 8
TASK, AGREED = "ab" * 32, b"what all sites are told"
Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and writes docs/results/secure_aggregation.*."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=5_000_000)
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 9, 10, 12, 16, 32])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    # What an update looks like: more large values than a Gaussian has.
    update = np.random.default_rng(1).standard_t(4, options.values).astype(np.float32) * np.float32(1e-3)
    with TemporaryDirectory() as folder:
        consortium = _consortium(Path(folder))
        rounds = {
            bits: [_measure(consortium, bits, update) for _ in range(options.repetitions)] for bits in options.bits
        }
    found = {
        "values": options.values,
        "int8": _int8(update),
        "rounds": {str(b): _medians(r) for b, r in rounds.items()},
    }
    write_json(options.out / "secure_aggregation.json", found)
    write_text(options.out / "secure_aggregation.md", table(found))


def _consortium(folder: Path) -> list[Identity]:
    """Makes certificates as FLARE's provisioning makes them, by FLARE's own functions."""
    root_key, root_public = generate_keys()
    root = Subject("consortium", None, None)
    certificate = serialize_cert(generate_cert(root, root, root_key, root_public, ca=True))
    for index in range(SITES):
        key, public = generate_keys()
        kit = folder / f"hospital-{index}"
        kit.mkdir()
        (kit / "client.key").write_bytes(serialize_pri_key(key))
        (kit / "client.crt").write_bytes(serialize_cert(generate_cert(Subject(kit.name), root, root_key, public)))
        (kit / "rootCA.pem").write_bytes(certificate)
    return [load_identity(folder / f"hospital-{index}") for index in range(SITES)]


class _Costs:
    """Adds up what each participant sends and receives, and computes."""

    def __init__(self) -> None:
        self.up: dict[str, int] = {}
        self.down: dict[str, int] = {}
        self.seconds: dict[str, float] = {}

    def of(self, who: str, sent: Any, work: Callable[[], Any]) -> Any:
        """Does a site's work on what it was sent, and counts both and what it answers."""
        started = time.process_time()
        answer = work()
        self.seconds[who] = self.seconds.get(who, 0.0) + time.process_time() - started
        self.down[who] = self.down.get(who, 0) + len(json.dumps(sent))
        answered = answer if isinstance(answer, bytes) else answer.model_dump_json().encode()
        self.up[who] = self.up.get(who, 0) + len(answered)
        return answer

    def server(self, work: Callable[[], Any]) -> Any:
        """Does the server's work."""
        started = time.process_time()
        answer = work()
        self.seconds["server"] = self.seconds.get("server", 0.0) + time.process_time() - started
        return answer


def _measure(identities: list[Identity], bits: int, update: NDArray[np.float32]) -> Result:
    """Runs one round; the last site drops out after it has dealt its shares, so that its key has to be recovered."""
    session, costs, ring = session_name("run", 1), _Costs(), Ring(bits)
    members = {each.name: Member(each, session, SecureConfig(), TASK) for each in identities}
    gone, step = identities[-1].name, 4 * float(np.sqrt(np.mean(update**2))) / ring.most(SITES)
    collector = Collector(session, identities[0].root, SecureConfig(), ring, update.size)
    for name, member in members.items():
        said = costs.of(name, {}, member.announce)
        costs.server(lambda n=name, s=said: collector.add_announcement(n, s.model_dump(mode="json")))
    roster = costs.server(collector.roster)
    for name, member in members.items():
        said = costs.of(name, roster, lambda m=member: m.share(roster))
        costs.server(lambda n=name, s=said: collector.add_shares(n, s.model_dump(mode="json")))
    dealt, total = collector.dealt(), np.zeros(update.size, np.int64)
    for name, member in members.items():
        if name != gone:
            written = costs.of(name, dealt, lambda m=member: _masked(m, dealt, update, (step, ring), total))
            costs.server(lambda n=name, w=written: collector.add_masked(n, w))
    _finish(members, collector, costs)
    cases, values = costs.server(lambda: collector.total(AGREED))
    if (values != total).any() or cases != SITES - 1:
        raise RuntimeError("the sum is not the sum of the sites' values")
    return _result(costs, gone)


def _masked(
    member: Member, dealt: Any, update: NDArray[np.float32], grid: tuple[float, Ring], total: NDArray[np.int64]
) -> bytes:
    step, ring = grid
    whole, _ = to_steps({"w": update}, {"w": step}, ring.most(SITES), np.random.default_rng())
    total += whole["w"]
    member.open(dealt)
    return member.mask(1, whole["w"], ring, AGREED)


def _finish(members: dict[str, Member], collector: Collector, costs: _Costs) -> None:
    alive = list(collector.alive)
    for name in alive:
        said = costs.of(name, alive, lambda m=members[name]: m.confirm(alive))
        costs.server(lambda n=name, s=said: collector.add_confirmation(n, s.model_dump(mode="json")))
    confirmed = collector.confirmations()
    for name in alive:
        said = costs.of(name, confirmed, lambda m=members[name]: m.reveal(confirmed))
        costs.server(lambda n=name, s=said: collector.add_reveal(n, s.model_dump(mode="json")))


def _result(costs: _Costs, gone: str) -> Result:
    stayed = [name for name in costs.up if name != gone]
    return {
        "up": median(costs.up[name] for name in stayed),
        "down": median(costs.down[name] for name in stayed),
        "site_s": median(costs.seconds[name] for name in stayed),
        "server_s": costs.seconds["server"],
    }


def _medians(runs: list[Result]) -> Result:
    return {key: median(run[key] for run in runs) for key in runs[0]}


def _int8(update: NDArray[np.float32]) -> Result:
    """Measures the plain codec."""
    codec, arrays = Blockwise(name="int8"), {"w": update}
    started = time.process_time()
    payload, _ = encode(arrays, codec, np.random.default_rng(1), {})
    seconds = time.process_time() - started
    decode(payload, {"w": update.shape})
    # One byte a value and half precision for each block of 256.
    return {"packed": len(payload), "unpacked": update.size + 2 * -(-update.size // 256), "site_s": seconds}


def table(found: Result) -> str:
    """Returns the page."""
    int8 = found["int8"]
    lines = [
        "# Secure aggregation: what it costs",
        "",
        f"`scripts/benchmark secure_aggregation`: {found['values']:,} values, {SITES} sites, one of which drops out",
        "after it has dealt its shares, so that its key is put together from the others'. RSA-2048 certificates.",
        "Bytes are all that a site sends in the round besides the model; seconds are of one core.",
        "",
        "| bits | levels of each site | MB up | over int8 | over int8 and zstd | kB down besides the model | site s "
        "| server s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for bits, row in found["rounds"].items():
        levels = 2 * Ring(int(bits)).most(SITES) + 1
        lines.append(
            f"| {bits} | {levels:,} | {row['up'] / 1e6:.2f} | {row['up'] / int8['unpacked']:.2f} "
            f"| {row['up'] / int8['packed']:.2f} | {row['down'] / 1e3:.0f} | {row['site_s']:.2f} "
            f"| {row['server_s']:.2f} |"
        )
    lines += [
        "",
        f"The same update as plain int8 is {int8['unpacked'] / 1e6:.2f} MB, {int8['packed'] / 1e6:.2f} MB after zstd "
        f"({int8['site_s']:.2f} s); as float32 {4 * found['values'] / 1e6:.2f} MB. Masked values cannot be packed.",
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
