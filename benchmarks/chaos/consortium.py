"""Puts the machines under test up, each with its kit, and takes them down again."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import yaml

from benchmarks import ROOT
from benchmarks.chaos.job import cohort_of
from benchmarks.chaos.machines import BOOTED_WITHIN_S, DISK_MB, PORT, SCIENTIST, SERVER, SERVER_NAME, Machines, run_tool
from benchmarks.chaos.waiting import wait_until
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.privacy.policy import CohortBudget, grant
from fedvoxel.volumes.exclusions import Exclusions
from fedvoxel.volumes.site import SITE_FILE, load_site_config
from tests.blob_job import give_blobs
from tests.system.network import Line, Network
from tests.training.conftest import write_blobs

CASES = 12
_BUDGET = {"epsilon": 10_000.0, "delta": 0.01}
"""Of each unit, for all runs of a campaign: what is tried here is what is charged, not what a budget refuses."""


@contextmanager
def open_machines(folder: Path, sites: Sequence[str], sabotage: str = "") -> Iterator[Machines]:
    """Makes kits, disks and network, boots the server and then the sites, and waits until all have registered.

    Args:
        folder: Where everything goes.
        sites: The hospitals' names.
        sabotage: Which guard is taken away, see `sabotage`; none when empty.

    Raises:
        RuntimeError: They did not within `BOOTED_WITHIN_S`.
    """
    folder = folder.resolve()
    chaos = folder / "chaos"
    chaos.mkdir(parents=True, exist_ok=True)
    network = Network(folder)
    machines = Machines(folder, tuple(sites), network, chaos, sabotage)
    source = Path(__file__).with_name("clock.c")
    run_tool("gcc", "-shared", "-fPIC", "-O2", "-o", str(folder / "clock.so"), str(source))
    try:
        _make_kits(machines)
        network.open([*machines.names, "scientist"])
        network.know({SERVER_NAME: network.addresses[SERVER]})
        for machine in machines.names:
            machines.set_clock(machine, 0)
            (folder / "homes" / machine).mkdir(parents=True, exist_ok=True)
        for site in machines.sites:
            network.know({SERVER_NAME: "127.0.0.1"}, site)
            machines.relay(site, Line(0, 0.0))
        machines.boot(SERVER)
        wait_until(lambda: "Server started" in machines.console(SERVER).read_text(errors="replace"), BOOTED_WITHIN_S)
        for site in machines.sites:
            machines.boot(site)
        if not wait_until(machines.all_registered, BOOTED_WITHIN_S):
            raise RuntimeError(f"the sites have not registered: {machines.console(SERVER).read_text()[-2000:]}")
        yield machines
    finally:
        machines.close()


def _make_kits(machines: Machines) -> None:
    """Provisions the consortium and puts each kit on its machine's disk, with a cohort of blobs."""
    folder = machines.folder
    described = yaml.safe_load((ROOT / "provisioning" / "consortium.yml").read_text(encoding="utf-8"))
    server = {"name": SERVER_NAME, "type": "server", "org": "consortium", "fed_learn_port": PORT}
    people = [one for one in described["participants"] if one.get("role") == "lead"]
    sites = [{"name": site, "type": "client", "org": site.replace("-", "_")} for site in machines.sites]
    described["participants"] = [server, *sites, *people]
    (folder / "consortium.yml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    made = create_consortium(folder / "consortium.yml", folder / "provisioned")
    shutil.copytree(made.kit(SCIENTIST), folder / "kits" / SCIENTIST, dirs_exist_ok=True)
    for machine in machines.names:
        machines.disk(machine).mkdir(parents=True, exist_ok=True)
        run_tool("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "chaos", str(machines.disk(machine)))
        shutil.copytree(made.kit(SERVER_NAME if machine == SERVER else machine), machines.kit(machine))
        if machine != SERVER:
            _give_cohorts(machines.kit(machine))


def _give_cohorts(kit: Path) -> None:
    """Gives a hospital three cohorts of blobs: one for jobs without protection, one for each unit; a patient is out."""
    give_blobs(kit)
    path = kit / "local" / SITE_FILE
    described = json.loads(path.read_text())
    for unit in get_args(PrivacyUnit):
        cohort = cohort_of(unit)
        folder = kit / "local" / cohort
        folder.mkdir()
        write_blobs(folder, CASES)
        # Who is protected is in no cohort without protection.
        rows = (folder / "cases.csv").read_text().replace("blob", cohort)
        (folder / "cases.csv").write_text(rows)
        source = {"layout": "csv", "table": f"{cohort}/cases.csv"}
        described["cohorts"][cohort] = described["cohorts"]["blobs"] | {"source": source}
        grant(kit / "local", cohort, CohortBudget(unit=unit, **_BUDGET))
    path.write_text(json.dumps(described))
    site = load_site_config(path)
    Exclusions(site, kit / "local").exclude([site.pseudonym_of("blob0")])
