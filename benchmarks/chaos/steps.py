"""The steps of a round at which a fault can strike, each a place in the code that is passed at that moment.

A step is the moment before or after a function of FedVoxel or FLARE runs. So it needs no clock, and the product needs
no switches for tests: see `hooks`.
"""

from dataclasses import dataclass
from typing import Literal

When = Literal["before", "after"]


@dataclass(frozen=True)
class Step:
    """Is a moment in a run.

    Attributes:
        name: `<process>.<what happens>`.
        place: `module:qualified name` of the function.
        when: Before or after the function.
        told: Whether it is written into the trace; what every process does many times in a round is not.
    """

    name: str
    place: str
    when: When
    told: bool = True

    @property
    def module(self) -> str:
        """Is the function's module."""
        return self.place.partition(":")[0]

    @property
    def function(self) -> str:
        """Is the function's qualified name in its module."""
        return self.place.partition(":")[2]

    @property
    def process(self) -> str:
        """Is the kind of process that passes it."""
        return self.name.partition(".")[0]


_RUN = "fedvoxel.flare.training_run:TrainingRun"
_REPLIES = "fedvoxel.flare.round_replies:RoundReplies"
_FILES = "fedvoxel.flare.run_files:RunFiles"
_COMMIT = "fedvoxel.flare.run_journal:RunJournal.commit"
_RUNNER = "nvflare.private.fed.server.job_runner:JobRunner"
_RENAMED = "fedvoxel.records.atomic:_put_in_place"
_APPENDED = "fedvoxel.records.chain_file:write_after"

STEPS = (
    Step("server_parent.deploys", f"{_RUNNER}._deploy_job", "before"),
    Step("server_parent.starts", f"{_RUNNER}._start_run", "before"),
    Step("site_parent.starts", "nvflare.private.fed.client.client_executor:JobExecutor.start_app", "before"),
    Step("server_job.asks", f"{_RUN}._one_round", "before"),
    Step("server_job.receives", f"{_REPLIES}.take", "before"),
    Step("server_job.has_taken", f"{_REPLIES}.take", "after"),
    Step("server_job.aggregates", "fedvoxel.federation.rounds:Rounds.close_round", "before"),
    Step("server_job.writes", _COMMIT, "before"),
    Step("server_job.has_written", _COMMIT, "after"),
    Step("server_job.tests", f"{_RUN}._score_last", "before"),
    Step("server_job.ends", f"{_FILES}.finish", "before"),
    Step("server_job.has_ended", f"{_FILES}.finish", "after"),
    Step("site_job.fetched", "fedvoxel.flare.executor:SiteExecutor.execute", "before"),
    Step("site_job.answers", "fedvoxel.flare.executor:SiteExecutor.execute", "after"),
    Step("site_job.sends", "nvflare.private.fed.client.communicator:Communicator.submit_update", "before"),
    Step("site_job.has_sent", "nvflare.private.fed.client.communicator:Communicator.submit_update", "after"),
    Step("trainer.begins", "fedvoxel.training.site_trainer:SiteTrainer._train", "before"),
    Step("trainer.trains", "fedvoxel.training.local_steps:LocalSteps._step", "after"),
    Step("trainer.has_trained", "fedvoxel.training.site_trainer:SiteTrainer._train", "after"),
    # The same where each patient is protected.
    Step("trainer.begins", "fedvoxel.training.site_trainer:SiteTrainer._train_private", "before"),
    Step("trainer.trains", "fedvoxel.training.private_training:private_step", "after"),
    Step("trainer.has_trained", "fedvoxel.training.site_trainer:SiteTrainer._train_private", "after"),
    # A file is written and has not its name yet; a chain has its new lines and its head not yet.
    Step("server_job.renames", _RENAMED, "before", told=False),
    Step("server_job.has_appended", _APPENDED, "after", told=False),
    Step("site_job.renames", _RENAMED, "before", told=False),
    Step("site_job.has_appended", _APPENDED, "after", told=False),
    Step("trainer.renames", _RENAMED, "before", told=False),
)

PROCESSES = {
    "server_train": "server_parent",
    "runner_process": "server_job",
    "client_train": "site_parent",
    "worker_process": "site_job",
    "fedvoxel.training.worker": "trainer",
}
"""What a process's command line has in it, by kind."""


def kind_in(command: str) -> str:
    """Returns what a process of this command line does, one of `PROCESSES`; an empty string when it is none of them."""
    return next((kind for module, kind in PROCESSES.items() if module in command), "")


BY_NAME = {step.name: step for step in STEPS}

ASKS, COMMITTED, TAKEN = "server_job.asks", "server_job.has_written", "server_job.has_taken"
FETCHED, TRAINS = "site_job.fetched", "trainer.begins"
"""The steps by which the harness follows a run."""
