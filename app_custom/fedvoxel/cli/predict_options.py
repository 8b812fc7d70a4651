"""The options of `fedvoxel predict`."""

from pathlib import Path
from typing import Annotated

import typer

LEAST_MB = 512

PackageFile = Annotated[Path, typer.Argument(help="The signed package: NAME-VERSION.fvpkg.", show_default=False)]
StudyPath = Annotated[
    Path | None, typer.Argument(help="A folder of DICOM files, or a NIfTI file; or take it from a --pacs.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results (mode 0700), each in one of its own.")]
SeriesNumber = Annotated[
    int | None, typer.Option("--series", min=1, help="The number of the series, where several fit the model.")
]
Everybody = Annotated[bool, typer.Option("--all", help="Also where the folder holds studies of several patients.")]
FromPacs = Annotated[str | None, typer.Option("--pacs", help="Take the study from this PACS of the site's file.")]
Query = Annotated[
    str | None,
    typer.Option(
        "--query",
        help="A JSON file, or - for standard input, with StudyInstanceUID, AccessionNumber or PatientID: other users "
        "of this machine can see a command line, so identifiers are not taken from there.",
    ),
]
StoreAt = Annotated[
    str | None, typer.Option("--store", help="Store segmentation and report at this PACS of the site's file.")
]
NewStudy = Annotated[
    bool, typer.Option("--new-study", help="Store also where that PACS does not know the study: another archive.")
]
SiteFile = Annotated[Path | None, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")]
OwnCalibration = Annotated[
    Path | None,
    typer.Option("--calibration", help="Your own, from `fedvoxel calibrate`: its volume intervals instead of theirs."),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="No changed copies of the image: no estimate of quality, several times faster.")
]
Maps = Annotated[bool, typer.Option("--maps", help="Write maps of entropy, disagreement and confidence too (NIfTI).")]
Explain = Annotated[
    float | None,
    typer.Option("--explain", min=0, help="Write which parts of the image each structure rests on; seconds for each."),
]
EightBit = Annotated[
    bool,
    typer.Option(
        "--eight-bit", help="Segmentations with 8 bits for each pixel: for viewers, as Orthanc's, that need it."
    ),
]
Memory = Annotated[int, typer.Option("--memory-mb", min=LEAST_MB, help="Most memory that this may take, in MiB.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")]
Runtime = Annotated[
    str, typer.Option("--runtime", help="auto, onnxruntime or openvino; auto is OpenVINO where it is installed.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
