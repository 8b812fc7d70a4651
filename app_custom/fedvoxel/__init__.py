"""FedVoxel: hospitals train one segmentation model together, each keeping its scans."""

__version__ = "0.2.0"
