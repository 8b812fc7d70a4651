"""A site's rounds under patient-level privacy: what is charged before a round is trained, and kept before it leaves.

The bytes themselves are put into the answer by the site's outbound filter, from the ledger alone; see `outbound`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fedvoxel.errors import TrainingError
from fedvoxel.privacy.joint_reservation import reserve_jointly
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import to_bytes

Train = Callable[[], tuple[Arrays, int]]
"""Trains one round; returns the noised difference and the number of noised steps that it took."""


@dataclass(frozen=True)
class PrivateRounds:
    """Is one run's rounds at one site.

    Attributes:
        ledger: The cohort's ledger.
        config: The job's privacy section.
        run_key: Names the run.
        job_id: The present attempt.
        also: The ledgers of the site's other cohorts with patients of this one, which are charged as well.
    """

    ledger: Ledger
    config: PatientMechanismConfig
    run_key: str
    job_id: str
    also: tuple[Ledger, ...] = ()

    def release(self, round_index: int, num_rounds: int, train: Train) -> str:
        """Returns the id of the round's release, which lies noised on disk; trains only where it does not yet.

        Raises:
            BudgetExceededError: A budget of the site has no draw left for the run; nothing was trained.
            LedgerError: The ledger cannot be trusted or written, or the run has changed its plan.
            TrainingError: The trainer took another number of steps than was charged; nothing is kept.
        """
        kept = self.ledger.kept(self.run_key, round_index)
        if kept:
            return kept
        event = PatientMechanism(self.config).round_event()
        plan = RunPlan(unit="patient", event=event, draws=num_rounds, delta=self.config.delta)
        reservation = reserve_jointly(self.ledger, self.also, self.run_key, self.job_id, round_index, plan)
        difference, steps = train()
        if steps != event.count:
            raise TrainingError(f"the trainer took {steps} noised steps, {event.count} were charged: nothing leaves")
        self.ledger.keep(reservation, to_bytes(difference))
        return reservation.release_id
