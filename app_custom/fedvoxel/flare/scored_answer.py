"""A site's answer to a question for scores: those of single cases stay in its state, and a summary leaves."""

from pathlib import Path

from nvflare.apis.shareable import Shareable

from fedvoxel.evaluation.case_table import PERSONAL_MODEL, case_table_name, read_scores, write_case_table
from fedvoxel.evaluation.summary import summarise
from fedvoxel.flare.messages import result_reply
from fedvoxel.flare.state_folder import check_run_key
from fedvoxel.training.messages import Message


def scores_reply(answer: Message, split: str, model: str, folder: Path) -> Shareable:
    """Keeps the scores of single cases at the site and replies with their summary.

    Args:
        answer: The trainer's.
        split: "validation" or "test".
        model: Whose model was tested, a run's key.
        folder: The run's folder in the site's state.

    Raises:
        ConfigError: `model` can be no run's key.
    """
    scores = read_scores(answer.header["scores"])
    if split == "test":
        write_case_table(folder / case_table_name(check_run_key(model)), scores)
    summary = summarise(scores)
    if split == "validation":
        dice = {name: score.dice_mean for name, score in summary.classes.items()}
        return result_reply({"score": {"cases": summary.cases, "dice": dice}}, {}, difference=False)
    told = {"score": summary.model_dump(mode="json")}
    if "personal_scores" in answer.header:
        personal = read_scores(answer.header["personal_scores"])
        write_case_table(folder / case_table_name(PERSONAL_MODEL), personal)
        told["personal"] = summarise(personal).model_dump(mode="json")
    return result_reply(told, {}, difference=False)
