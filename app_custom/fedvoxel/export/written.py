"""Texts as they stand in a package."""

import json
from typing import Any


def text_of_json(value: Any) -> bytes:
    """Returns JSON that people can read.

    Raises:
        ValueError: `value` holds NaN or an infinity.
    """
    return (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
