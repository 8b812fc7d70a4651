"""What must add up when a job has ended: what was charged for what has left, and who has signed what happened."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.chaos import oracle
from benchmarks.chaos.job import cohort_of
from benchmarks.chaos.machines import SERVER, Machines
from benchmarks.chaos.oracle import Run, outcome_of
from benchmarks.chaos.trace import Trace
from fedvoxel.errors import FedVoxelError
from fedvoxel.export.trust import read_trust
from fedvoxel.governance.audit_report import LogReport, hold_together, log_file, verify_log
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.reconcile import reconcile, site_releases
from fedvoxel.privacy.server_record import ServerRecord, verify_server


def job_troubles(machines: Machines, trace: Trace, run: Run, reference: Mapping[int, str]) -> list[str]:
    """Returns all that must not be and is, when a job has ended; `reference` are the models of one without faults."""
    said = oracle.chain_troubles(machines) + oracle.round_troubles(trace, run)
    said += oracle.outcome_troubles(machines, trace, run)
    said += ledger_troubles(machines, run) + signature_troubles(machines)
    # Noise is drawn by every attempt anew.
    return said if run.unit else said + oracle.reference_troubles(trace, run, reference, len(machines.sites))


def ledger_troubles(machines: Machines, run: Run) -> list[str]:
    """Returns where a protected run's ledgers do not verify, or hold less than has left; nothing for another run."""
    if run.unit is None:
        return []
    try:
        server = verify_server(machines.kit(SERVER) / "state")
    except FedVoxelError as error:
        return [f"the server's ledger: {error}"]
    said = list(server.problems)
    for site in machines.sites:
        try:
            said += [f"{site}: {trouble}" for trouble in _troubles_of(machines, run, site, server)]
        except FedVoxelError as error:
            said.append(f"{site}: {error}")
    return said


def _troubles_of(machines: Machines, run: Run, site: str, server: ServerRecord) -> list[str]:
    kit, outcome = machines.kit(site), outcome_of(machines, run)
    ledger = open_ledger(kit / "local", kit / "state", cohort_of(run.unit))
    found = reconcile(server, site, site_releases(kit / "state"))
    said = [*found.problems, *(f"release {lost} cannot be sent again" for lost in ledger.verify())]
    rounds = outcome.rounds[: outcome.rounds_committed] if outcome else ()
    contributed = sum(site in one.contributed for one in rounds)
    charged = sum(one.sent for one in ledger.status().runs if one.run_key == run.key)
    received = sum(one.received for one in found.runs if one.run_key == run.key)
    if charged < contributed:
        said.append(f"is in {contributed} rounds and was charged for {charged}")
    if received < contributed:
        said.append(f"is in {contributed} rounds, and the server's ledger has {received} of its updates")
    return said


def signature_troubles(machines: Machines) -> list[str]:
    """Returns what `fedvoxel audit verify --root --against` finds in the server's log and in those of the sites."""
    try:
        logs = {machine: _verified(machines.kit(machine)) for machine in machines.names}
        hold_together(logs[SERVER], [logs[site] for site in machines.sites])
    except FedVoxelError as error:
        return [f"the audit logs: {error}"]
    return [f"{machine}: audit log: {flaw.text}" for machine, log in logs.items() for flaw in log.flaws]


def _verified(kit: Path) -> LogReport:
    return verify_log(log_file(kit), read_trust(kit, None), None, datetime.now(UTC))
