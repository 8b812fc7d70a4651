"""The options of `fedvoxel evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

_LEAST_MB = 512

SplitName = Literal["test", "validation", "training", "all"]
MetricName = Literal["dice", "nsd"]

PackageFile = Annotated[
    Path, typer.Argument(metavar="PACKAGE", help="The signed package: NAME-VERSION.fvpkg.", show_default=False)
]
Cohort = Annotated[str | None, typer.Argument(help="A cohort of the site's file; or give --images and --labels.")]
Sites = Annotated[
    list[Path] | None,
    typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json. May be repeated."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder (mode 0700) for the report; evaluation-NAME-VERSION here.")
]
WhichSplit = Annotated[SplitName, typer.Option("--split", help="Which patients.")]
Images = Annotated[Path | None, typer.Option("--images", help="A folder of NIfTI images, without a cohort.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="Their labels, of the same names, in the model's codes.")]
Tolerance = Annotated[
    float | None,
    typer.Option("--tolerance-mm", min=0.01, max=50, help="What NSD lets pass; one voxel of the model's images."),
]
PieceNames = Annotated[
    list[str] | None, typer.Option("--pieces", help="A structure that comes in pieces, such as lesions.")
]
MinimumPatients = Annotated[int, typer.Option("--minimum-patients", min=5, help="No subgroup is of fewer patients.")]
OtherPackage = Annotated[Path | None, typer.Option("--against", help="Compare with this package.")]
Reader = Annotated[
    str | None, typer.Option("--reader", help="Compare with a second reader: a cohort, or a folder of labels.")
]
WhichMetric = Annotated[MetricName, typer.Option("--metric", help="What is compared.")]
Margin = Annotated[
    float | None,
    typer.Option(
        "--margin", min=0.0001, max=0.5, help="How much worse is still good enough; stands once there is a result."
    ),
]
Worst = Annotated[int, typer.Option("--worst", min=0, max=100, help="Show slices of so many cases.")]
OnPaper = Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also write the report as PDF.")]
Memory = Annotated[int, typer.Option("--memory-mb", min=_LEAST_MB, help="Most memory that this may take, in MiB.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print evaluation.json alone on standard output.")]


@dataclass(frozen=True)
class Options:
    """Holds what was asked for, by the options' names."""

    package: Path
    root: Path
    crl: Path | None
    releases: Path | None
    allow_unknown: bool
    cohort: str | None
    site: list[Path] | None
    out: Path | None
    split: SplitName
    images: Path | None
    labels: Path | None
    tolerance_mm: float | None
    pieces: list[str] | None
    minimum_patients: int
    against: Path | None
    reader: str | None
    metric: MetricName
    margin: float | None
    worst: int
    pdf: bool
    memory_mb: int
    threads: int | None
    as_json: bool
