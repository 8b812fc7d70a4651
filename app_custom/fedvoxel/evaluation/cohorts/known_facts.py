"""Collects what a cohort knows of its cases beside the voxels, whatever the layout."""

from collections.abc import Sequence
from pathlib import Path

from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.sidecar import Sidecar, read_participants, read_sidecar
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.sources import BidsSource


def known_facts(cohort: CohortConfig, base: Path, listed: Sequence[CaseFiles]) -> dict[str, Sidecar]:
    """Returns the facts of each case: those of its participant in a BIDS tree, and those of its own sidecar."""
    participants = read_participants(base / cohort.source.root) if isinstance(cohort.source, BidsSource) else {}
    return {files.case: {**participants.get(files.case.split("_")[0], {}), **read_sidecar(files)} for files in listed}
