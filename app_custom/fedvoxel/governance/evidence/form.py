"""What only a person can say, asked for once: `human_input.yml` in the pack, written with blanks and read back.

Nothing is filled in by the software, and a blank is no evidence. Who signs the pack stands for what is written there.
"""

from pathlib import Path
from typing import Any

import yaml

from fedvoxel.errors import ConfigError
from fedvoxel.plain_file import read_plain

FORM = "human_input.yml"

QUESTIONS: dict[str, str] = {
    "intended_use": "What the model is for, who uses it, in which setting, and which laws apply there.",
    "population": "Which patients it is for, and where it must not be used.",
    "goals": "Which goal of the organisation it serves, and of what value that is.",
    "controller": "Name and contact of the controller (for joint controllers, each).",
    "data_protection_officer": "Contact of the data protection officer.",
    "legal_basis": "Legal basis of the processing, and of that of data concerning health (GDPR Articles 6 and 9).",
    "ethics_approval": "Ethics committee, number and date of its approval, or why none is needed.",
    "retention": "When the hospitals erase the training data, and when models and logs are erased.",
    "transfers": "Recipients outside the consortium, and transfers to third countries with their safeguards.",
    "risk_owner": "Who answers for the risks of this model, and to whom that person reports.",
    "risk_tolerance": "Which risks the organisation bears, and from where on it does not.",
    "impacts": "Which harm and benefit are expected for whom, how likely and how large.",
    "clinical_risk": "How much harm a wrong result can do to a patient, who looks at each before it counts, and why.",
    "biases": "Which biases and ethical concerns are known, and what was done about them.",
    "developer": "Who has developed the model, with a contact.",
    "team": "Which professions and points of view took part in the decisions.",
    "staff_training": "How users and staff are trained, and how that is checked.",
    "feedback": "How users and patients report problems, and what becomes of it.",
    "review_plan": "Who reviews the model and its risks in use, how, and how often.",
    "incidents": "To whom incidents are reported, by whom, and within what time.",
    "changes": "Which changes to the model are planned, and within which bounds.",
    "acceptance": "How good a changed model has to be, on which cases, before it is released.",
    "funding": "Who has paid for it.",
    "publications": "Peer-reviewed publications about it, or that there are none.",
    "decommissioning": "How and by whom the model is taken out of use.",
}
"""The form's questions by field."""

_LONGEST_ANSWER = 4000
_HEAD = """\
# What only a person can say. Write after each colon, then give `fedvoxel evidence` again: it reads this file, changes
# nothing in it, and signs it with the pack. A blank stays "human input needed". No patient's name, please.
"""


def blank_form() -> str:
    """Returns the form with no answer."""
    asked = [f"\n# {question}\n{field}:\n" for field, question in QUESTIONS.items()]
    return _HEAD + "".join(asked)


def read_form(content: bytes) -> dict[str, str]:
    """Returns the answers that are not blank, by field.

    Raises:
        ConfigError: It is not the form, or an answer is none.
    """
    try:
        values = yaml.safe_load(content.decode("utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f'{FORM} is not YAML; put an answer with a colon or a # in it in "quotation marks"') from None
    if not isinstance(values, dict) or not set(values) <= set(QUESTIONS):
        raise ConfigError(f"{FORM} has fields that it does not ask for; it asks for: {', '.join(QUESTIONS)}")
    return {field: answer for field in QUESTIONS if (answer := _answer(field, values.get(field)))}


def form_in(folder: Path) -> bytes:
    """Returns the form's bytes in a pack's folder; a blank form where there is none.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return read_plain(folder / FORM, 2**20)
    except FileNotFoundError:
        return blank_form().encode()
    except OSError as error:
        raise ConfigError(f"{FORM} cannot be read ({error.strerror or type(error).__name__})") from None


def _answer(field: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ConfigError(f"{FORM}: {field}: expected words, got {type(value).__name__}; put them in quotation marks")
    answer = " ".join(str(value).split())
    if len(answer) > _LONGEST_ANSWER or not answer.isprintable():
        raise ConfigError(f"{FORM}: {field}: expected at most {_LONGEST_ANSWER} printable characters")
    return answer
