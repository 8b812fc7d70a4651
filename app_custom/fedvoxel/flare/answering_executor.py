"""What the executors of jobs that train nothing have in common: who may ask, when nothing is answered, and errors."""

from abc import abstractmethod
from typing import Any, ClassVar

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from fedvoxel.errors import ConfigError, FedVoxelError
from fedvoxel.flare.messages import error_reply, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY
from fedvoxel.flare.state_folder import state_folder
from fedvoxel.flare.versions import check_server, tell_versions
from fedvoxel.governance.incidents.switches import check_not_halted


class AnsweringExecutor(Executor):
    """Answers the tasks of one kind of job about a cohort, with one object of JSON values each.

    Attributes:
        tasks: The names of its tasks.
        answers_as: Under which name the answer stands in the reply.
        run_key: The run that the job is about; empty for a job that has none.
    """

    tasks: ClassVar[tuple[str, ...]]
    answers_as: ClassVar[str]
    run_key: str = ""

    def __init__(self, cohort: str) -> None:
        """Takes the job's word for the cohort."""
        super().__init__()
        self.cohort = cohort
        self._problem: str | None = None

    @abstractmethod
    def answer(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Any:
        """Returns the answer to a task.

        Raises:
            FedVoxelError: There is none; its text goes to the server.
        """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Tells the server this site's versions with the run, and has the audit say that the job begins."""
        if event_type == EventType.START_RUN:
            # Imported here, not above: the server loads this module too, and has no imaging packages.
            from fedvoxel.flare.begun_job import begun_job

            tell_versions(fl_ctx)
            self._problem = begun_job(fl_ctx, self.cohort, self.run_key)

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Replies with the answer, or with the reason why not."""
        fl_ctx.set_prop(COHORT_PROPERTY, self.cohort, private=True, sticky=False)
        try:
            check_server(task_name, fl_ctx)
            check_not_halted(state_folder(fl_ctx))
            if self._problem:
                raise ConfigError(self._problem)
            if task_name not in self.tasks:
                raise ConfigError(f"unknown task {task_name!r}; this job's sites answer {' and '.join(self.tasks)}")
            found = self.answer(task_name, shareable, fl_ctx, abort_signal)
            return result_reply({self.answers_as: found}, {}, difference=False)
        except FedVoxelError as error:
            self.log_error(fl_ctx, f"event=task_failed task={task_name} reason={error}", fire_event=False)
            return error_reply(str(error))
        except OSError as error:
            self.log_error(fl_ctx, f"event=task_failed task={task_name} errno={error.errno}", fire_event=False)
            return error_reply(f"the site could not read or write its files ({error.strerror})")
