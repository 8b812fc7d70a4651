"""Why a PACS or a DICOM file is not used: stable reasons, each with what the hospital can do about it.

A message never holds a patient, a UID, a path or a text from a header: what was found is said in counts and kinds.
"""

from typing import Literal, get_args

from fedvoxel.errors import DicomError

DicomReason = Literal[
    "pacs_unreachable",
    "pacs_timeout",
    "pacs_tls",
    "pacs_rejected",
    "pacs_credentials",
    "pacs_unsupported",
    "pacs_failed",
    "pacs_garbled",
    "pacs_cut_off",
    "pacs_incomplete",
    "pacs_foreign_instance",
    "pacs_changed_instance",
    "pacs_too_much",
    "pacs_not_stored",
    "incoming_disk",
]

REMEDIES: dict[DicomReason, str] = {
    "pacs_unreachable": "check host and port in the site's file, and that the firewall lets this machine connect",
    "pacs_timeout": "ask the PACS administrator whether it is overloaded, or raise timeout_s in the site's file",
    "pacs_tls": "check ca, certificate and key in the site's file, and that this port of the PACS speaks TLS",
    "pacs_rejected": "ask the PACS administrator to register this site's AE title, address and rights",
    "pacs_credentials": "check username and password_file in the site's file, and the account's rights at the PACS",
    "pacs_unsupported": "ask the PACS administrator which of query, retrieve and storage it offers to this site",
    "pacs_failed": "ask the PACS administrator to look at its log at this time",
    "pacs_garbled": "check that host, port and url are those of the PACS, and ask its vendor",
    "pacs_cut_off": "run it again: what has come is kept, and the rest is asked for",
    "pacs_incomplete": "run it again; if it stays so, the PACS lists instances that it does not hand out: ask its vendor",
    "pacs_foreign_instance": "nothing of it was kept; tell the PACS administrator that it hands out other series than asked for",
    "pacs_changed_instance": "remove the series from the incoming folder and pull it again",
    "pacs_too_much": "narrow the query, or raise the limit in the site's file if that much is expected",
    "pacs_not_stored": "ask the PACS administrator whether this site may store objects of this kind",
    "incoming_disk": "free disk space, or put the cohort on a larger disk, and run it again",
}

REASONS: tuple[DicomReason, ...] = get_args(DicomReason)


def dicom_error(reason: DicomReason, found: str) -> DicomError:
    """Returns the error for `reason`: what was found, then what to do."""
    return DicomError(reason, f"{found}; {REMEDIES[reason]}")
