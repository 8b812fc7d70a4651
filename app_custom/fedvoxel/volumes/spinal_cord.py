"""The five hospitals of the spinal cord grey matter set, as cohorts over one BIDS tree.

One to two volumes each: enough to show unequal, anisotropic scans and tiny sites, far too few for a quality claim.
Source: github.com/sct-pipeline/gm-challenge-data, CC0.
"""

from pathlib import Path
from typing import Any

# Hospital to the value of the column Site in participants.tsv.
SITES = {"ucl": "UCL", "nwu": "NWU", "philips": "Philips", "milan": "Milan", "ceitec": "CEITEC"}
EVALUATION_ONLY = "ceitec"
LABELS = {"cord": "seg-manual", "grey_matter": "gmseg-manual"}


def spinal_cord_cohorts(root: Path) -> dict[str, dict[str, Any]]:
    """Returns each hospital's cohort description for its site file.

    Four hospitals only train; `EVALUATION_ONLY` only tests, so that every score is on a hospital never trained on.

    Args:
        root: The BIDS tree, which holds participants.tsv.
    """
    return {hospital: _cohort(root, hospital, site) for hospital, site in SITES.items()}


def _cohort(root: Path, hospital: str, site: str) -> dict[str, Any]:
    source = {
        "layout": "bids",
        "root": str(root),
        "derivatives": "derivatives/labels",
        "image": "run-1_T2starw",
        "labels": dict(LABELS),
        "participants": {"Site": [site]},
        # Milan's sub-9709Ses1 and sub-9709Ses2 are one patient.
        "patient_pattern": r"sub-(\d+)",
    }
    return {"source": source, "split": {"validation": 0.0, "test": 1.0 if hospital == EVALUATION_ONLY else 0.0}}
