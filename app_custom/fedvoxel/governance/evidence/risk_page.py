"""`nist_ai_rmf.md`: the risk map for people to read."""

from collections.abc import Iterator

from fedvoxel.governance.evidence.artefact import KINDS, Inventory
from fedvoxel.governance.evidence.form import FORM
from fedvoxel.governance.evidence.page_words import artefact_table, plain, table
from fedvoxel.governance.evidence.risk_map import Cell, Coverage, RiskMap, Support


def risk_page(found: RiskMap, inventory: Inventory) -> str:
    """Returns the page."""
    return "\n".join(_lines(found, inventory)) + "\n"


def _lines(found: RiskMap, inventory: Inventory) -> Iterator[str]:
    yield f"# Evidence for the {plain(found.framework)}"
    yield from ("", f"Run {plain(inventory.run_key)}, job {plain(inventory.job_id)}. {found.note}")
    yield from ("", *_coverage(found.coverage), "")
    for cell in found.subcategories:
        yield from (f"## {cell.id}: {cell.status}", "", plain(cell.statement), "", *_cell(cell), "")
    yield from ("## Every artefact", "", plain(inventory.note), "", *artefact_table(inventory.artefacts), "")
    yield f"Statements of the subcategories: {plain(found.source)}."


def _coverage(counts: Coverage) -> list[str]:
    rows = [
        ("subcategories", counts.subcategories),
        ("evidenced", counts.evidenced),
        ("of these, by a verified artefact", counts.evidenced_by_artefacts),
        ("of these, by a person's statement alone, which nobody has checked", counts.evidenced_by_statement_only),
        ("human input needed", counts.human_input_needed),
        ("not evidenced", counts.not_evidenced),
    ]
    return table(("", "number"), [(name, str(count)) for name, count in rows])


def _cell(cell: Cell) -> Iterator[str]:
    for one in cell.by:
        yield f"- {_name(one)}, `{one.sha256}`: {plain(one.because)}"
    for kind in cell.found_unverified:
        yield f"- {KINDS[kind]} was found and is not verified; it does not count."
    for field in cell.asks:
        blank = field in cell.unanswered
        yield f"- {FORM}, `{field}`: {'blank' if blank else 'stated by a person, checked by nobody'}."
    if not (cell.by or cell.found_unverified or cell.asks):
        yield "- nothing was found that supports this."


def _name(support: Support) -> str:
    return KINDS[support.kind] + (f" ({support.site})" if support.site else "")
