"""What a person answers for where entries of a ledger were lost, and the least that the loss has cost."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from fedvoxel.config import parse_config
from fedvoxel.errors import LedgerError
from fedvoxel.privacy.charging import opening
from fedvoxel.privacy.ledger_entries import Gap, LedgerEntry, ledger_entry
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.spending import Spending, spending_of
from fedvoxel.records.chain import OpenChain
from fedvoxel.records.chain_entry import Entry


def gap_entries(chain: OpenChain, cohort: str, budget: CohortBudget, answer: Mapping[str, Any]) -> list[LedgerEntry]:
    """Returns the entries with which a ledger goes on after a loss; to be written in one append.

    Args:
        chain: The ledger's lines and head, as they are.
        cohort: The cohort's name.
        budget: What the site's policy grants.
        answer: The values of a `Gap` but for what is spent.

    Raises:
        ConfigError: A value is out of range.
        LedgerError: It is less than the lost entries are known to have cost, or the ledger is about another cohort.
    """
    spending = spending_of(chain.entries)
    opened = opening(spending, cohort, budget)
    lost_epsilon, lost_delta = _known_loss(chain.head, chain.entries, spending)
    gap = parse_config(Gap, {**answer, **spending.unchanged()}, "the gap")
    if gap.epsilon < lost_epsilon or gap.delta < lost_delta:
        raise LedgerError(
            f"cohort {cohort}: the lost entries are known to have cost at least epsilon "
            f"{math.ceil(lost_epsilon * 1e4) / 1e4:g} and delta {lost_delta:g}; record that or more"
        )
    spending.add(gap)
    gap = gap.model_copy(update={"spent_epsilon": spending.epsilon, "spent_delta": spending.delta})
    return [opened, gap] if opened else [gap]


def _known_loss(head: Entry | None, entries: Sequence[Entry], spending: Spending) -> tuple[float, float]:
    """Returns the least epsilon and delta that lost entries have cost, by what the head says was spent.

    Zero where nothing is lost, or where the head cannot tell.
    """
    if head is not None and head not in entries:
        with suppress(LedgerError):
            last = ledger_entry(head.body, head.index + 1)
            epsilon, delta = spending.recorded
            return _excess(last.spent_epsilon, epsilon), _excess(last.spent_delta, delta)
    return 0.0, 0.0


def _excess(value: float, base: float) -> float:
    """Returns by how much `value` passes `base`, exact in decimals, or 0."""
    return float(max(Decimal(0), Decimal(repr(value)) - Decimal(repr(base))))
