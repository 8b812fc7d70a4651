"""The Medical Segmentation Decathlon's hippocampus set, fetched from its public address.

260 labelled MR crops, 27 MB, CC BY-SA 4.0. Address and checksum are those that MONAI's DecathlonDataset uses.
Source: Antonelli et al. 2022, The Medical Segmentation Decathlon, doi:10.1038/s41467-022-30695-9.
"""

from collections.abc import Callable
from pathlib import Path

from fedvoxel.volumes.public_archive import PublicArchive, fetch_archive

HIPPOCAMPUS = PublicArchive(
    address="https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar",
    md5="9d24dba78a72977dbd1d2e110310f31b",
    folder="Task04_Hippocampus",
)


def download_hippocampus(
    into: Path, progress: Callable[[int, int], None] | None = None, archive: PublicArchive = HIPPOCAMPUS
) -> Path:
    """Downloads and unpacks the hippocampus set, unless it is there already.

    Args:
        into: The folder that `Task04_Hippocampus` goes into.
        progress: Called with (bytes done, bytes in all) while it downloads.
        archive: Another copy of the set, for a mirror.

    Returns:
        The folder that holds dataset.json.

    Raises:
        DownloadError: It cannot be fetched or is damaged; says what to do.
    """
    return fetch_archive(archive, into, progress)
