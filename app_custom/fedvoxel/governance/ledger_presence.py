"""Whether a kit has the ledgers that belong to it: a kit made anew begins without them, and with all to spend.

What was spent in an older kit stays spent. Nothing in a new kit can tell, so the person who sets it up is told.
"""

from collections.abc import Container, Iterable
from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.governance.finding import Finding, warning
from fedvoxel.governance.kit import Kit
from fedvoxel.privacy.policy import PRIVACY_FILE, load_privacy_policy
from fedvoxel.records.atomic import write_text

MOVE_FILE = "MOVE_PRIVACY_HERE.txt"
"""Lies in a kit that was made anew for a hospital that has a ledger elsewhere."""

_SITE_NOTE = f"""\
This kit is new. A kit of yours before it has a privacy ledger: what was spent of your patients' privacy stays spent.

Before you start this kit:
1. stop the old one;
2. move its state/privacy/ to this kit's state/privacy/ (move, not copy: there is one ledger), and with it, where they
   are, state/exclusions/ and state/runs/ (patients who objected, and who was trained on), state/approvals/, and
   state/audit/ (the server keeps heads of this log: a log begun anew does not fit them);
3. move its local/{PRIVACY_FILE} to this kit's local/;
4. run: fedvoxel privacy verify THIS_KIT, and: fedvoxel site check THIS_KIT; then delete this file.

Until then this kit has an empty privacy policy, so that nothing about any cohort leaves.
"""
_SERVER_NOTE = """\
This kit is new. A kit of the server's before it has a privacy ledger, which says what it has received and released.

Before you start this kit: stop the old one, move its state/privacy/, state/runs/ and state/audit/ to this kit's state/
(move, not copy: there is one ledger, and one log that sites have signed), then delete this file.
"""


RESTORED_FILE = "RESTORED.txt"
"""Lies in a kit that was put back from a backup, until a person has done what it asks for."""

RESTORED_NOTE = """\
This kit was put back from a backup of {created}. What happened after that moment is not in it.

Before you start it:
1. Make sure that the kit it was copied from runs nowhere and never will again: there is one ledger.
2. A site with a privacy budget: what was spent after the backup stays spent. Until it is recorded, nothing of the
   cohort leaves. Ask the operator for the server's record (fedvoxel privacy reconcile), take what your site has sent
   since, rather more than less (0 only where nothing ran), and write it down for each cohort:
   fedvoxel privacy record-gap THIS_KIT --cohort NAME --epsilon E --delta D --operator YOU --reason WHY
3. A server: a run that received or released anything after the backup goes on under a new run_key, never its old one.
   So it goes on with none that had not ended, and ends all jobs that ran or waited; submit them under a new run_key.
   Only where you know that nothing happened since: see restored.txt in state/runs/RUN_KEY/journal/.
   Its audit log lacks what sites have signed since: say so openly, or they sign it no more (fedvoxel audit accept-gap).
   A site's audit log lacks its end likewise, and nothing accepts that: held against the server's it is called
   truncated, rewritten or removed for ever (fedvoxel audit verify --against). So keep, as long as the log: the backup,
   state/audit/ of the kit before if it can be read, and a note of who put it back, when and why.
4. A site: patients who objected after the backup are in its cohorts again: exclude them anew (fedvoxel cohort exclude).
5. Where a service runs it, everything in it must be the service's account's, whoever put it back:
   chown -R fedvoxel: THIS_KIT
6. Run, as that account: fedvoxel site check THIS_KIT; then delete this file.
"""


def has_ledger(kit: Path, cohort: str | None = None) -> bool:
    """Says whether a kit's folder has anything of a ledger: of one cohort, or any, the server's too."""
    folder = kit / "state" / "privacy"
    kinds = ("*.json*", "releases/*.bin")
    return any(path for kind in kinds for path in folder.glob(f"{cohort}/{kind}" if cohort else f"**/{kind}"))


def leave_note(kit: Path, server: bool) -> None:
    """Writes into a new kit's folder what has to be moved there."""
    write_text(kit / MOVE_FILE, _SERVER_NOTE if server else _SITE_NOTE)


def check_note(kit: Kit) -> list[Finding]:
    """Warns of a note in a server's or site's kit that asks to move a ledger there, or to account for a backup."""
    notes = {
        MOVE_FILE: "this kit replaces one that has a privacy ledger",
        RESTORED_FILE: "this kit was put back from a backup, and knows nothing of what was spent since",
    }
    left = {name: said for name, said in notes.items() if (kit.folder / name).exists()}
    return [warning("policy", f"{said}: do what {name} says") for name, said in left.items()]


def check_ledgers(kit: Kit, cohorts: Iterable[str]) -> list[Finding]:
    """Warns of each cohort that has a budget and no ledger yet, and of each ledger whose cohort has no budget now.

    Args:
        kit: A site's kit.
        cohorts: The cohorts that the site describes.
    """
    try:
        budgets = load_privacy_policy(kit.local).budgets()
    except ConfigError:
        return []  # Said by the check of the policy.
    folders = sorted(path.name for path in (kit.state / "privacy").glob("*/"))
    described = tuple(cohorts)
    left = [name for name in folders if has_ledger(kit.folder, name) and not (name in budgets and name in described)]
    return _unopened(kit, described, budgets) + [
        warning(
            "policy",
            f"cohort {cohort}: has a ledger, but no budget or no description any more; what is spent on its patients "
            "is not counted where they are listed under another name, and not kept where they leave unprotected",
        )
        for cohort in left
    ]


def _unopened(kit: Kit, cohorts: Iterable[str], budgets: Container[str]) -> list[Finding]:
    return [
        warning(
            "policy",
            f"cohort {cohort}: no ledger yet, nothing is spent; if this kit replaces an older one, move its "
            "state/privacy here first",
        )
        for cohort in cohorts
        if cohort in budgets and not has_ledger(kit.folder, cohort)
    ]
