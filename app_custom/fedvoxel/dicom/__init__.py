"""DICOM as a hospital has it: finding and pulling series from its PACS, and reading files that nobody vouches for."""
