"""How `fedvoxel evidence` shows a pack that was written, and one that was verified."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.governance.evidence.checking import PackReport
    from fedvoxel.governance.evidence.pack import Pack


def pack_json(pack: "Pack") -> dict[str, Any]:
    """Returns what was written, for JSON."""
    return {
        "schema_version": 1,
        "signed_by": pack.signed_by,
        "coverage": pack.risks.coverage.model_dump(mode="json"),
        "artefacts": [one.model_dump(mode="json") for one in pack.inventory.artefacts],
    }


def show_pack(console: "Console", pack: "Pack", pseudonyms: Mapping[str, str]) -> None:
    """Prints what was found and what not, the coverage, and which hospital is which: that alone is not in the pack."""
    from fedvoxel.governance.evidence.page_words import name_of

    for one in pack.inventory.artefacts:
        colour = {"verified": "green", "unverified": "yellow", "missing": "red"}[one.check]
        console.print(f"[{colour}]{one.check:>10}[/]  {name_of(one)}: ", end="", highlight=False)
        console.print(one.said, highlight=False, markup=False, soft_wrap=True)
    counts = pack.risks.coverage
    console.print(
        f"NIST AI RMF 1.0: {counts.evidenced_by_artefacts} of {counts.subcategories} subcategories evidenced by "
        f"verified artefacts, {counts.evidenced_by_statement_only} by statements alone; "
        f"{counts.human_input_needed} need human input, {counts.not_evidenced} are not evidenced. This is evidence, "
        "not compliance.",
        highlight=False,
    )
    named = ", ".join(
        f"{pseudonym} is {site}" for site, pseudonym in sorted(pseudonyms.items(), key=lambda one: one[1])
    )
    console.print(f"Not in the pack: {named}.", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{pack.folder}: signed by {pack.signed_by}.", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"Next: fill in {pack.folder / 'human_input.yml'} and give the command again; then "
        f"fedvoxel evidence verify {pack.folder} --root ROOT",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def report_json(report: "PackReport") -> dict[str, Any]:
    """Returns what a verification found, for JSON."""
    return {
        "schema_version": 1,
        "holds": report.holds,
        "signed_by": str(report.signed_by),
        "signed_at": report.signed_at.isoformat(),
        "files": len(report.manifest.files),
        "missing": list(report.missing),
        "changed": list(report.changed),
        "not_signed": list(report.strange),
        "turned": [{"id": one.id, "before": one.before, "now": one.now} for one in report.turned],
        "coverage": report.risks.coverage.model_dump(mode="json") if report.risks else None,
    }


def show_report(console: "Console", report: "PackReport") -> None:
    """Prints what a verification found."""
    console.print(
        f"run {report.manifest.run_key}, job {report.manifest.job_id}: signed by {report.signed_by} at "
        f"{report.signed_at:%Y-%m-%d %H:%M:%S} UTC",
        highlight=False,
        markup=False,
    )
    whole = len(report.manifest.files) - len(report.missing) - len(report.changed)
    console.print(f"{whole} of {len(report.manifest.files)} files are what was signed", highlight=False)
    for words, names in (("gone", report.missing), ("changed", report.changed), ("not signed", report.strange)):
        for name in names:
            console.print(f"  {words}: {name[:200]!r}", highlight=False, markup=False)
    for (before, now), count in Counter((one.before, one.now) for one in report.turned).items():
        ids = ", ".join(one.id for one in report.turned if (one.before, one.now) == (before, now))
        console.print(f"  {count} subcategories, {before} before, now {now}: {ids}", highlight=False, markup=False)
    if report.risks is None:
        console.print("  the inventory is gone or changed: nothing is evidenced by this pack", highlight=False)
    else:
        counts = report.risks.coverage
        console.print(
            f"{counts.evidenced_by_artefacts} of {counts.subcategories} subcategories evidenced by verified artefacts, "
            f"{counts.evidenced_by_statement_only} by statements alone",
            highlight=False,
        )
