"""One audit log verified with all that is at hand: its chain, signatures, a hash noted elsewhere, the other logs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.export.trust import Trust
from fedvoxel.governance.audit_check import Checked, Flaw, check_log
from fedvoxel.governance.audit_comparison import compare
from fedvoxel.records.audit import AUDIT_FILE
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry


@dataclass
class LogReport:
    """Is what was found about one log.

    Attributes:
        entries: Its lines; none where the chain is broken.
        checked: What its events say, where they can be read.
        flaws: What is wrong with it.
    """

    entries: list[Entry] = field(default_factory=list)
    checked: Checked = field(default_factory=lambda: Checked([]))
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def head(self) -> str | None:
        """Is the hash of the last entry."""
        return self.entries[-1].hash if self.entries else None


def log_file(place: Path) -> Path:
    """Returns the file of the log that lies in a kit, a `state/` folder or a folder of its own, or is named itself.

    Raises:
        ConfigError: There is none.
    """
    for path in (place / "state" / "audit" / AUDIT_FILE, place / "audit" / AUDIT_FILE, place / AUDIT_FILE, place):
        if path.name == AUDIT_FILE and path.is_file():
            return path
    raise ConfigError(
        f"expected an audit log: a file {AUDIT_FILE} with its head.json beside it, or the kit that has one; "
        f"got {place.name}"
    )


def verify_log(file: Path, trust: Trust | None, noted: str | None, now: datetime) -> LogReport:
    """Verifies one log.

    Args:
        file: Its file.
        trust: Whose signatures count; None checks none.
        noted: Hash of an entry that somebody outside has noted.
        now: The present (aware).
    """
    report = LogReport()
    try:
        report.entries = Chain(file).read()
        report.checked = check_log(report.entries, trust, now)
    except LedgerError as error:
        report.flaws.append(Flaw("chain", 0, str(error)))
        return report
    report.flaws += report.checked.flaws
    known = {entry.hash for entry in report.entries} | report.checked.lost
    if noted is not None and noted not in known:
        report.flaws.append(Flaw("truncated", 0, f"the log does not know {noted}: it is an older copy, or another log"))
    return report


def hold_together(one: LogReport, others: Sequence[LogReport]) -> None:
    """Adds to each report what the other logs show: those of sites hold that of the server, and it holds theirs.

    Raises:
        ConfigError: They are not the log of a server and those of sites.
    """
    logs = [report for report in (one, *others) if report.entries]
    servers = [report for report in logs if report.checked.keeper == "server"]
    sites = [report for report in logs if report.checked.keeper not in ("server", "")]
    if len(servers) != 1 or len(sites) != len(logs) - 1:
        raise ConfigError("expected the log of a server and those of sites, to hold one against the other")
    for site in sites:
        in_server, in_site = compare(servers[0].checked, site.checked)
        servers[0].flaws += in_server
        site.flaws += in_site
