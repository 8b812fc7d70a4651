"""The model server's environment has the pins of all others, but for what KServe wants older."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDER = {"pandas", "protobuf", "psutil", "python-dateutil"}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


def test_only_what_kserve_wants_older_differs() -> None:
    ours, serving = pins("constraints.txt"), pins("constraints-serve.txt")
    assert {name for name in ours.keys() & serving.keys() if ours[name] != serving[name]} == OLDER
    assert serving["kserve"].startswith("0.21.") and not {"torch", "monai"} & serving.keys()
