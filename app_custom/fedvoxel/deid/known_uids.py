"""Which UIDs the standard itself registers: they say what, never who."""

from pydicom._uid_dict import UID_dictionary

LABELMAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
"""SOP class of the standard that pydicom 3.0 does not list yet."""

REGISTERED = frozenset(UID_dictionary) | {LABELMAP_SEGMENTATION}
"""All of them. A UID that only looks like one of these is no such UID.

Source: DICOM PS3.6 Annex A.
"""
