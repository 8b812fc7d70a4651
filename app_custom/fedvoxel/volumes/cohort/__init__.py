"""Cohorts that are built from DICOM: de-identified, paired with their labels, as NIfTI with a manifest of hashes."""
