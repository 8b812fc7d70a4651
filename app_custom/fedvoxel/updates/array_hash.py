"""The hash by which a site's audit log and the server's name the same arrays: what left, and what was received."""

import hashlib

import numpy as np

from fedvoxel.updates.update import Arrays


def hash_of_arrays(arrays: Arrays) -> str:
    """Returns the SHA-256 of named arrays of numbers: of each name, type, shape and bytes (C order), sorted by name."""
    whole = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        whole.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode("utf-8", "replace"))
        whole.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return whole.hexdigest()
