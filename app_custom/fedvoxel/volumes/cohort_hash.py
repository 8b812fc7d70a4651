"""The hash by which a site's audit log names a cohort: the same while its description and its list of cases are.

It is keyed with the site's pseudonym key, so that nobody can try out lists of patients against an exported log. Scans
are not read: a scan that is exchanged under the same name is not seen.
"""

import hashlib
import hmac
from pathlib import Path

from fedvoxel.errors import FedVoxelError
from fedvoxel.records.canonical import canonical_json, sha256_of_file
from fedvoxel.volumes.site import SITE_FILE, load_site_config
from fedvoxel.volumes.sources import BidsSource, CsvSource, DecathlonSource, Source


def cohort_hash(local: Path, name: str) -> str | None:
    """Returns the keyed hash of a cohort; None where it cannot be read, which the job itself will say.

    Args:
        local: The kit's `local/` folder.
        name: The cohort's name in the site's own file.
    """
    try:
        site = load_site_config(local / SITE_FILE)
        cohort = site.cohort(name)
        listed = local / _list_of(cohort.source)
        content = sha256_of_file(listed) if listed.is_file() else None
    except (FedVoxelError, OSError):
        return None
    described = {"cohort": cohort.model_dump(mode="json"), "list": content}
    key = bytes.fromhex(site.pseudonym_key.get_secret_value())
    return hmac.new(key, canonical_json(described), hashlib.sha256).hexdigest()


def _list_of(source: Source) -> Path:
    """Returns the file that says which cases there are."""
    if isinstance(source, CsvSource):
        return Path(source.table)
    if isinstance(source, DecathlonSource):
        return Path(source.dataset_json)
    if isinstance(source, BidsSource):
        return Path(source.root) / "participants.tsv"
    return Path(source.folder) / "manifest.json"
