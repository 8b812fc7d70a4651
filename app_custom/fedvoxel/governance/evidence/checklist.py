"""What artefacts and people say to the items of a checklist: a draft, whose other items are for its authors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fedvoxel.governance.evidence.artefact import KINDS, Artefact
from fedvoxel.governance.evidence.datasheet_page import facts_of
from fedvoxel.governance.evidence.page_words import HUMAN, name_of, plain, table, told

AUTHORS = "for the authors: no artefact says it"


@dataclass(frozen=True)
class Known:
    """Is what is known of a run: artefacts that were verified, and what people have stated.

    Attributes:
        artefacts: All that were looked for.
        answers: What people have stated, by field of the form.
    """

    artefacts: Sequence[Artefact]
    answers: Mapping[str, str]

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """Are the facts of verified artefacts by kind; nothing of one that is missing or not verified."""
        verified = [one for one in self.artefacts if one.entry.check == "verified"]
        return {kind: facts_of(verified, kind) for kind in KINDS}

    def asked(self, *fields: str) -> str:
        """Returns what people have stated, or that it is needed."""
        return "; ".join(plain(self.answers[field]) if field in self.answers else HUMAN for field in fields)

    def those(self, *kinds: str) -> list[Artefact]:
        """Returns the verified artefacts of some kinds."""
        return [one for one in self.artefacts if one.entry.kind in kinds and one.entry.check == "verified"]

    def named(self, *kinds: str) -> str:
        """Returns the verified artefacts of some kinds, each with its hash; nothing where there is none."""
        return _names(self.those(*kinds))

    def evaluations(self, fact: str) -> str:
        """Returns the verified evaluations at a hospital of which a fact is true, as `named` does."""
        return _names([one for one in self.those("evaluation") if one.facts.get(fact)])

    def of(self, kind: str, *names: str) -> str:
        """Returns facts of a kind of artefact in words; nothing where it does not say all of them."""
        facts = self.facts[kind]
        return ", ".join(told(facts[name]) for name in names) if all(facts.get(name) for name in names) else ""


def _names(artefacts: Sequence[Artefact]) -> str:
    return ", ".join(f"{name_of(one.entry)} `{one.entry.sha256}`" for one in artefacts)


def checklist_page(heading: str, note: str, items: Mapping[str, str], said: Mapping[str, str]) -> str:
    """Returns a checklist as a page.

    Args:
        heading: Its title.
        note: What it is, and where it comes from.
        items: What each item asks for, in words of our own.
        said: What is known of some of them; nothing, or an empty text, where nothing is.
    """
    rows = [(item, what, said.get(item) or AUTHORS) for item, what in items.items()]
    open_ones = sum(text == AUTHORS or HUMAN in text for _, _, text in rows)
    summary = f"Items: {len(rows)}; of these, open for people: {open_ones}."
    return "\n".join([f"# {heading}", "", note, "", summary, "", *table(("item", "asks for", "draft"), rows)]) + "\n"
