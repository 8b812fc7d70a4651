"""What only people of the hospital can say about a cohort: the questions of a datasheet that no program answers.

Source: Gebru et al. 2021, Datasheets for Datasets, Communications of the ACM 64(12), section 3.
"""

from typing import Annotated

from pydantic import Field

from fedvoxel.config import FrozenModel

Text = Annotated[str, Field(min_length=1, max_length=4000)]


class HospitalAnswers(FrozenModel):
    """Is the file of `--answers`: each a text of some sentences, or left out.

    It is handed on as it stands: nothing in it is looked through for what would tell who a patient is.
    """

    motivation: Text | None = None
    collection: Text | None = None
    consent: Text | None = None
    labelling: Text | None = None
    uses: Text | None = None
    not_for: Text | None = None
    maintenance: Text | None = None


QUESTIONS: dict[str, str] = {
    "motivation": "For what purpose was the cohort put together, and by whom?",
    "collection": "How were the scans chosen, over what time, and whom may that have left out?",
    "consent": "On what ground are they used (consent, ethics approval, law), and can a patient withdraw?",
    "labelling": "Who drew the labels, with what training, tool and protocol, and how far do two readers agree?",
    "uses": "What has the cohort been used for already, and what is it meant for?",
    "not_for": "What should it not be used for?",
    "maintenance": "Who answers questions about it, and will it change?",
}
