"""A job that trains nothing: its controller asks the sites and writes what they answered as one file."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.run_files import write_trouble
from fedvoxel.flare.site_tasks import SiteTasks
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.records.atomic import write_json


class InquiryController(SiteTasks):
    """Is the controller of an inquiry; a kind of inquiry says what it asks, and the name of its file."""

    title: ClassVar[str]
    file: ClassVar[str]

    def __init__(self, timeout_s: float = 1800.0, task_check_period: float = 0.1) -> None:
        """Keeps the job's words.

        Args:
            timeout_s: Longest wait for each task, in seconds.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(task_check_period)
        self.timeout_s = timeout_s

    def run(self) -> None:
        """Asks, and writes the answers into the job's result; tells FLARE where that cannot be done."""
        sites = sorted(client.name for client in self.engine.get_clients())
        folder = Path(workspace_of(self.fl_ctx).get_run_dir(self.fl_ctx.get_job_id()))
        try:
            write_json(folder / self.file, self.answers(sites))
        except FedVoxelError as error:
            self.panic(f"the {self.title} failed: {error}")
        except OSError as error:
            self.panic(f"the {self.title} failed: {write_trouble(error)}")

    @abstractmethod
    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Asks the sites and returns what is written, as JSON values.

        Raises:
            FedVoxelError: There is nothing worth writing.
        """
