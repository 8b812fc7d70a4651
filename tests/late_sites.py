"""Sites that join a run late, only look on, or never come, for tests of what is kept from before they joined."""

from collections.abc import Callable

from nvflare.apis.shareable import Shareable

from fedvoxel.flare.messages import TASK_INITIALIZE, TASK_TRAIN, error_reply, result_reply
from tests.flare.test_controller import update, well_behaved

Answer = Callable[[str], list[Shareable]]


def joining(index: int) -> Answer:
    """Returns a site that trains from a round on, and is away before; it gives no first model."""
    asked = iter(range(1000))

    def answer(task: str) -> list[Shareable]:
        if task == TASK_INITIALIZE or (task == TASK_TRAIN and next(asked) < index):
            return [error_reply("the site is not there yet")]
        return well_behaved(task)

    return answer


def looking_on(task: str) -> list[Shareable]:
    """Behaves as a site that scores models and never trains."""
    said = {"case_count": 0, "validation": {"cases": 2, "dice": {"organ": 0.5}}}
    return [result_reply(said, {}, difference=True)] if task == TASK_TRAIN else well_behaved(task)


def never(task: str) -> list[Shareable]:
    """Behaves as a site that is asked and gives nothing that can be used."""
    return [update(float("nan"))] if task == TASK_TRAIN else [error_reply("the site cannot")]
