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
    "pacs_other_patient",
    "pacs_unknown_study",
    "incoming_disk",
    "unreadable_file",
    "unreadable_beside",
    "file_too_large",
    "not_dicom",
    "no_transfer_syntax",
    "truncated_file",
    "beyond_the_file",
    "malformed",
    "too_deep",
    "header_too_large",
    "unreadable_value",
    "absurd_dimensions",
    "modality_table",
    "no_identity",
    "link",
    "directory_record",
    "repeated_instance",
    "mixed_patients",
    "no_pixels",
    "colour_pixels",
    "unsupported_pixels",
    "short_pixels",
    "long_pixels",
    "pixel_dimensions",
    "unsupported_syntax",
    "undecodable_pixels",
    "changed_file",
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
    "pacs_incomplete": "run it again; if it stays so, the PACS lists what it does not hand out: ask its vendor",
    "pacs_foreign_instance": "nothing of it was kept; tell the PACS administrator that it sends what nobody asked for",
    "pacs_changed_instance": "remove the series from the incoming folder and pull it again",
    "pacs_too_much": "narrow the query, or raise the limit in the site's file if that much is expected",
    "pacs_not_stored": "ask the PACS administrator whether this site may store objects of this kind",
    "pacs_other_patient": "nothing was sent: fetch the study from this PACS anew and make the results from that",
    "pacs_unknown_study": "nothing was sent: name the PACS that the images are from, or say --new-study",
    "incoming_disk": "free disk space, or put the cohort on a larger disk, and run it again",
    "unreadable_file": "check that the file is there and that this account may read it",
    "unreadable_beside": "copy or export the study again, and take out of its folder what is no image of it",
    "file_too_large": "take the file out of the folder, or export the series as single images",
    "not_dicom": "take the file out of the folder, or export it again as a DICOM file (PS3.10)",
    "no_transfer_syntax": "export the file again: its meta information is incomplete",
    "truncated_file": "copy or export the file again",
    "beyond_the_file": "copy or export the file again",
    "malformed": "export the file again; if it stays so, ask the vendor of the device",
    "too_deep": "take the file out of the folder: no imaging device writes such a header",
    "header_too_large": "take the file out of the folder: no imaging device writes such a header",
    "unreadable_value": "correct this element at the source, or export the file again",
    "absurd_dimensions": "take the file out of the folder, or export the series as single images",
    "modality_table": "export the series with RescaleSlope and RescaleIntercept in place of a table",
    "no_identity": "give every instance its SOP, study and series identifiers and its modality at the source",
    "link": "put the file itself into the folder",
    "directory_record": "nothing: a DICOMDIR only lists other files",
    "repeated_instance": "nothing: the same file is used once",
    "mixed_patients": "separate the patients or studies that share one SeriesInstanceUID",
    "no_pixels": "take the object out of the cohort: it holds no image",
    "colour_pixels": "take the series out of the cohort: images with one value per pixel are expected",
    "unsupported_pixels": "export the series with 1, 8, 16 or 32 bits per pixel, the used ones lowest",
    "short_pixels": "copy or export the file again",
    "long_pixels": "export the file again: its dimensions and its pixels disagree",
    "pixel_dimensions": "export the file again: its header and its compressed image disagree",
    "unsupported_syntax": "export the series uncompressed (Explicit VR Little Endian)",
    "undecodable_pixels": "export the file again, or uncompressed (Explicit VR Little Endian)",
    "changed_file": "leave the folder alone while a cohort is built from it, and run it again",
}

REASONS: tuple[DicomReason, ...] = get_args(DicomReason)


def dicom_error(reason: DicomReason, found: str) -> DicomError:
    """Returns the error for `reason`: what was found, then what to do."""
    return DicomError(reason, f"{found}; {REMEDIES[reason]}")
