"""A hospital's own lists of cases: tables, a Decathlon list, a BIDS tree, and sidecars."""

import json
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import strategies as st

from fedvoxel.errors import CohortError, FedVoxelError
from fedvoxel.volumes.bids_layout import list_bids
from fedvoxel.volumes.cohort.label_table import read_label_table
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.sidecar import read_participants, read_sidecar
from fedvoxel.volumes.sources import BidsSource
from fedvoxel.volumes.table_layouts import list_csv, list_decathlon
from tests.fuzz.mutation import PLANTED
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError

_SOURCE = BidsSource(
    layout="bids",
    root="bids",
    image="T2w",
    derivatives="derivatives/labels",
    labels={"cord": "seg"},
    participants={"sex": ["F"]},
)
_PARTICIPANTS = "participant_id\tsex\tage\nsub-01\tF\t045Y\nsub-02\tM\t7\n"


@cache
def _hospital() -> Path:
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "hospital"
    rows = [f"a,{PLANTED},image.nii,label.nii", "b,,image.nii,missing.nii"]
    _write(folder / "cases.csv", "\n".join(["case,patient,image,label", *rows]) + "\n")
    _write(folder / "labels.csv", f"series,label\n1.2.3,{PLANTED}.nii\n1.2.4,label.nii\n")
    items = [{"image": "image.nii", "label": "label.nii"}, {"image": f"{PLANTED}.nii", "label": ""}]
    _write(folder / "dataset.json", json.dumps({"training": items}))
    _write(folder / "bids/participants.tsv", _PARTICIPANTS)
    _write(folder / "bids/sub-01/anat/sub-01_T2w.nii.gz", "")
    sidecar = {"Modality": "MR", "PatientAge": "045Y", "EchoTime": 0.1, "Manufacturer": "x", "PatientSex": "F"}
    _write(folder / "bids/sub-01/anat/sub-01_T2w.json", json.dumps(sidecar))
    for name in ("image.nii", "label.nii"):
        _write(folder / name, "")
    return folder


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


_NAMES = (
    *("cases.csv", "labels.csv", "dataset.json", "bids/participants.tsv", "bids/sub-01/anat/sub-01_T2w.json"),
    *("cases.csv", "bids/participants.tsv"),
)


def _list(change: Spoiled, folder: Path) -> None:
    """Every list is read, whatever became of another; no refusal quotes a patient."""
    place = lay_out(_hospital(), change, folder)
    image = place / "bids/sub-01/anat/sub-01_T2w.nii.gz"
    refused: list[FedVoxelError] = []
    for read in (
        lambda: list_csv(place / "cases.csv"),
        lambda: list_decathlon(place / "dataset.json"),
        lambda: read_label_table(place / "labels.csv"),
        lambda: list_bids(_SOURCE, place / "bids"),
        lambda: read_participants(place / "bids"),
        lambda: read_sidecar(CaseFiles("sub-01", "sub-01", image, (), None)),
    ):
        try:
            read()
        except FedVoxelError as error:
            refused.append(error)
    if any(PLANTED.split("^")[0] in str(error) or not str(error).isprintable() for error in refused):
        raise UnwantedError("a refusal that quotes a patient, or is not one line")
    if refused:
        raise refused[0]


_CHANGES = st.deferred(lambda: spoiled(files_of(_hospital()), _NAMES))
TARGETS = (Target("lists", "cohorts", _CHANGES, _list, (CohortError,)),)
