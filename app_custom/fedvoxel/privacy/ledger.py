"""The site's privacy ledger of one cohort: what was spent on its patients by every run, job and crash so far.

A release goes `reserve` -> draw noise -> `keep` -> `bytes_to_send`; each step is on disk before the next begins (see
`records.chain`). What holds when the process is killed or the power fails, whatever the instant:

- before or in `reserve`: no noise has been drawn. Either the entry is there (one draw is charged and lost) or not.
- after `reserve`, before, in or after the drawing: the draw is charged. Its bytes were in memory only and are gone.
- in `keep`: the file of the bytes may be there without its entry. It is then never sent, nor taken for a release.
- after `keep`: the same bytes are sent on the next try, without a new charge; nothing is drawn for that round again.
  Masked bytes are of use in the attempt alone for which they were masked: in the next one the round is drawn anew.
- in `bytes_to_send`: the entry `sent` comes first, so that what left is never more than the ledger says.

So the charge is never less than what was drawn, and nothing leaves without `reserved`, `kept` and `sent` on disk.
Bytes that were not kept are drawn anew under a new, random release id, and as a new draw of the run's plan: noise drawn
twice for one round is two releases even if the first was never seen, since nobody can prove that. A release id is
unique within the ledger, and does not repeat after a restored backup because it is random (128 bits).

Two processes: all decisions are made under the chain's lock, so that the last of a budget goes to one of them. Two
attempts at one round may both draw, and both are charged; the first to `keep` wins, the other is refused.

Refused: a cohort without a policy; another unit than the policy's; a run that changes its noise, sampling, steps, draws
or delta midway; more draws than planned; a run whose plan, with all that was spent before (epsilon and delta, each
added up), leaves no release within the budget. As many releases as the budget covers are granted and charged at the
first draw; `spending` says why. A budget that the policy lowers later stops runs that have begun. Nothing is ever
given back.

Lost entries (an older copy of the file in its place, lines cut off): every call is refused until a person answers for
what was lost with `record_gap`. Stop the site before restoring files. An older copy of the whole folder cannot be told
from here: whoever restores one records a gap unasked, and `verify` takes a hash or release id that somebody outside
(the server, an audit log) has noted. Nor does the ledger stop code in this process that draws noise without it: that no
job brings code is part of the guarantee. A patient in two cohorts of the site is charged to both (`joint_reservation`);
at two sites, the losses add up.
"""

from pathlib import Path

from fedvoxel.errors import LedgerError
from fedvoxel.privacy.charging import charge, check_unit, new_draw, opening
from fedvoxel.privacy.kept_bytes import KeptBytes
from fedvoxel.privacy.ledger_entries import Kept, LedgerEntry, Opened, Reserved, RunPlan, Sent
from fedvoxel.privacy.ledger_gap import gap_entries
from fedvoxel.privacy.ledger_run import Reservation, check_declared
from fedvoxel.privacy.ledger_status import LedgerStatus, status_of
from fedvoxel.privacy.policy import CohortBudget, load_privacy_policy
from fedvoxel.privacy.spending import Spending, spending_of
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Body, Entry

LEDGER_FILE = "ledger.jsonl"


class Ledger:
    """Is one cohort's ledger on disk; every call reads it anew, so that several processes may hold one each."""

    def __init__(self, folder: Path, cohort: str, budget: CohortBudget) -> None:
        """Touches no file.

        Args:
            folder: The folder of the site's ledgers, which has one folder for each cohort.
            cohort: The cohort's name.
            budget: What the site's policy grants for it.
        """
        self.cohort, self._budget = cohort, budget
        self._chain = Chain(folder / cohort / LEDGER_FILE)
        self._bytes = KeptBytes(folder / cohort)

    def reserve(self, run_key: str, job_id: str, round_index: int, plan: RunPlan) -> Reservation:
        """Charges one draw of noise, before the round is trained.

        Args:
            run_key: Names the run; FLARE jobs are its attempts.
            job_id: The present attempt.
            round_index: The round, from 0.
            plan: What the run declares, the same in every call.

        Raises:
            BudgetExceededError: The budget covers no draw of the run, or the run has used the draws it was granted.
            ConfigError: The plan protects another unit than the policy asks for, or a name is not usable.
            LedgerError: The round's bytes are kept already, the run has changed its plan, or the ledger cannot be
                trusted or written.
        """
        draft = new_draw(run_key, job_id, round_index, plan)
        # The accountant remembers what it is asked here, so that nobody waits for it at the lock.
        self._draw(self._chain.read(), draft, plan)
        with self._chain.writing() as chain:
            opened, reserved = self._draw(chain.entries, draft, plan)
            if opened:
                chain.append(_body(opened))
            chain.append(_body(reserved))
        return Reservation(reserved.release_id, run_key, job_id, round_index, plan)

    def check_draw(self, run_key: str, job_id: str, round_index: int, plan: RunPlan) -> int:
        """Returns how many draws in all the run is granted; raises what `reserve` would, and charges nothing."""
        _, reserved = self._draw(self._chain.read(), new_draw(run_key, job_id, round_index, plan), plan)
        return reserved.draws

    def drawn(self, run_key: str, round_index: int) -> bool:
        """Returns whether a draw for the round is charged here, kept or not.

        Raises:
            LedgerError: The ledger cannot be read or trusted.
        """
        return bool(self._spending(self._chain.read()).drawn_in(run_key, round_index))

    def keep(self, reservation: Reservation, content: bytes) -> Path:
        """Writes a release's noised bytes to disk, from where alone they are sent, and returns the file.

        Raises:
            LedgerError: The reservation is not in the ledger, was used, or the round's bytes are kept already; or the
                ledger cannot be trusted or written.
        """
        release_id = reservation.release_id
        with self._chain.writing() as chain:
            spending = self._spending(chain.entries)
            self._refuse_kept(spending, reservation.run_key, reservation.round)
            spending.check_open(release_id)
            path, sha256 = self._bytes.write(release_id, content)
            chain.append(_body(Kept(release_id=release_id, sha256=sha256, file=path.name, **spending.unchanged())))
        return path

    def kept(self, run_key: str, round_index: int, plan: RunPlan) -> str | None:
        """Returns the id of the round's release if its bytes are kept, whole and not masked: what a retry sends.

        Raises:
            LedgerError: The run declared another plan when they were drawn, or the ledger cannot be read or trusted.
        """
        spending = self._spending(self._chain.read())
        release_id = self._kept_in(spending, run_key, round_index)
        if release_id:
            check_declared(run_key, spending.runs[run_key], plan)
        return release_id

    def bytes_to_send(self, release_id: str) -> bytes:
        """Notes that a release leaves the site, and returns its bytes: the same ones every time.

        Raises:
            LedgerError: The release is not kept, its bytes are damaged, or the ledger cannot be trusted or written.
        """
        with self._chain.writing() as chain:
            spending = self._spending(chain.entries)
            sent = Sent(release_id=release_id, **spending.unchanged())
            spending.add(sent)
            content = self._bytes.read(spending.releases[release_id].kept)
            if content is None:
                raise LedgerError(
                    f"release {release_id}: its bytes are missing or not those that were kept, and are not sent; "
                    "reserve the round again, as a new draw"
                )
            chain.append(_body(sent))
        return content

    def place(self, release_id: str) -> tuple[str, int]:
        """Returns the run and the round that a release in this ledger was drawn for."""
        reserved = self._spending(self._chain.read()).releases[release_id].reserved
        return reserved.run_key, reserved.round

    def record_gap(self, epsilon: float, delta: float, operator: str, reason: str) -> LedgerStatus:
        """Records what a person answers for having been spent by entries that were lost, and accepts the ledger again.

        Runs from before take no more draws, since nobody can tell how many they have left.

        Raises:
            ConfigError: A value is out of range.
            LedgerError: It is less than the lost entries are known to have cost, or the lines cannot be trusted.
        """
        with self._chain.recovering() as chain:
            answer = {"epsilon": epsilon, "delta": delta, "operator": operator, "reason": reason}
            # In one append: the first one makes the chain forget what it has lost.
            chain.append(*map(_body, gap_entries(chain, self.cohort, self._budget, answer)))
            return status_of(self.cohort, self._budget, chain.entries)

    def status(self) -> LedgerStatus:
        """Returns what is spent and left; an empty status where there is no ledger yet.

        Raises:
            LedgerError: The ledger cannot be read or trusted.
        """
        entries = self._chain.read()
        self._spending(entries)
        return status_of(self.cohort, self._budget, entries)

    def verify(self, noted: str | None = None) -> tuple[str, ...]:
        """Checks every line, the head, and that no entry contradicts those before it.

        Args:
            noted: An entry's hash, or the id of a release that was sent, as somebody outside has noted it.

        Returns:
            Ids of releases whose kept bytes are missing or damaged, so that they cannot be sent again.

        Raises:
            LedgerError: The ledger cannot be read or trusted, or does not know what was noted.
        """
        entries = self._chain.read()
        releases = self._spending(entries).releases
        known = {entry.hash for entry in entries} | {key for key, release in releases.items() if release.times_sent}
        if noted is not None and noted not in known:
            raise LedgerError(
                f"cohort {self.cohort}: the ledger does not know {noted}: it is an older copy, or another ledger; "
                "put the newest copy back, or account for what is lost: fedvoxel privacy record-gap"
            )
        kept = [release.kept for release in releases.values() if release.kept]
        return tuple(entry.release_id for entry in kept if self._bytes.read(entry) is None)

    def _draw(self, entries: list[Entry], draft: Reserved, plan: RunPlan) -> tuple[Opened | None, Reserved]:
        """Returns the entries of one more draw, if the ledger takes it; writes nothing."""
        check_unit(plan, self._budget, self.cohort)
        self._bytes.check_not_alone(entries)
        spending = spending_of(entries)
        opened = opening(spending, self.cohort, self._budget)
        self._refuse_kept(spending, draft.run_key, draft.round)
        return opened, charge(spending, draft, self._budget, self.cohort)

    def _spending(self, entries: list[Entry]) -> Spending:
        """Adds the entries up and checks that they are about this cohort and unit, and not all gone."""
        self._bytes.check_not_alone(entries)
        spending = spending_of(entries)
        if spending.opened:
            opening(spending, self.cohort, self._budget)
        return spending

    def _kept_in(self, spending: Spending, run_key: str, round_index: int) -> str | None:
        kept = reversed(spending.kept_in(run_key, round_index))
        return next((entry.release_id for entry in kept if self._bytes.can_be_sent_again(entry)), None)

    def _refuse_kept(self, spending: Spending, run_key: str, round_index: int) -> None:
        release_id = self._kept_in(spending, run_key, round_index)
        if release_id:
            raise LedgerError(
                f"round {round_index} of run {run_key} has release {release_id}, whose bytes are kept: a retry sends "
                "those and draws nothing"
            )


def open_ledger(local: Path, state: Path, cohort: str) -> Ledger:
    """Returns a cohort's ledger in a site's kit.

    Args:
        local: The kit's `local/` folder, with the site's privacy policy.
        state: The kit's `state/` folder.
        cohort: The cohort's name.

    Raises:
        ConfigError: The policy is missing or wrong, or grants nothing for the cohort.
    """
    return Ledger(state / "privacy", cohort, load_privacy_policy(local).budget(cohort))


def _body(entry: LedgerEntry) -> Body:
    return entry.model_dump(mode="json")
