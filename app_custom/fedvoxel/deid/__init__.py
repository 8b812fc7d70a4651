"""Takes patients out of DICOM series, by DICOM PS3.15 Annex E, before anything else looks at them."""
