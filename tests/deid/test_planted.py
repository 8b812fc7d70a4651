"""Nothing that was planted survives: 500 files with identifiers in every odd place, and a second tool that looks."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.valuerep import VR

from fedvoxel.deid.dates import read_date
from fedvoxel.dicom.series import find_series
from fedvoxel.errors import FedVoxelError
from tests.deid.opened import cleaned, keys, written
from tests.deid.planted import planted_object, write
from tests.deid.planter import MARK, Planted
from tests.deid.scans import KINDS

_FEW = 36
_DIGITS = re.compile(rb"[0-9][0-9.]*[0-9]")


@dataclass
class Outcome:
    """Objects with planted values, and what came out of each."""

    planted: list[Planted]
    folder: Path

    def pairs(self) -> list[tuple[Planted, Path]]:
        """What was planted in each file that came out."""
        return [(self.planted[int(path.name)], path) for path in sorted(self.folder.iterdir())]


def _make(count: int, folder: Path) -> Outcome:
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    out.mkdir()
    planted = []
    for seed in range(count):
        planted.append(planted_object(KINDS[seed % len(KINDS)], seed))
        write(planted[-1], raw / f"{seed:04}")
    inventory = find_series(raw)
    refused = sum(number for _, number in inventory.refused)
    for files in inventory.series:
        try:
            (content,) = written(cleaned(files))
        except FedVoxelError as error:
            assert MARK not in str(error)
            refused += 1
            continue
        (out / files.paths[0].name).write_bytes(content)
    # By chance a value lands where an object cannot be used without a proper one: those are refused.
    assert refused <= count / 20
    return Outcome(planted, out)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return _make(_FEW, tmp_path_factory.mktemp("few"))


def _forms_of_the_mark() -> Iterator[bytes]:
    """The mark as it would look in other encodings, folded to lower case."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "cp037"):
        yield MARK.encode(encoding).lower()
        yield MARK.upper().encode(encoding).lower()


def survivors(planted: Planted, content: bytes) -> list[str]:
    """Which kinds of planted values stand in these bytes."""
    folded = content.lower()
    runs = {run.decode() for run in _DIGITS.findall(content)}
    found = ["text" for form in _forms_of_the_mark() if form in folded]
    found += [f"number {number}" for number in planted.numbers - _moved(planted) if number in runs]
    found += ["uid" for uid in planted.uids if uid.encode() in content]
    found += ["binary" for blob in planted.blobs if blob in content]
    return found


def _moved(planted: Planted) -> set[str]:
    """What a shifted date may rightly look like: by chance it is another one that was planted."""
    shift = keys().shift(planted.dataset.PatientID, "")
    days = (timedelta(days=shift.days), timedelta(days=shift.days + 1))
    dates = [date for text in planted.numbers if len(text) == 8 and (date := read_date(text))]
    return {f"{date - back:%Y%m%d}" for date in dates for back in days}


def test_no_planted_value_survives_in_the_bytes(few: Outcome) -> None:
    for planted, path in few.pairs():
        assert survivors(planted, path.read_bytes()) == [], f"seed {path.name}"


def test_a_second_tool_finds_none_of_it(few: Outcome) -> None:
    _check_dump(few)


def test_the_planted_files_do_hold_what_is_searched_for(tmp_path: Path) -> None:
    planted = planted_object("CT", 0)
    write(planted, tmp_path / "raw")
    found = survivors(planted, (tmp_path / "raw").read_bytes())
    assert {"text", "uid", "binary"} <= set(found)
    assert sum(each.startswith("number") for each in found) >= 0.9 * len(planted.numbers)
    assert found.count("uid") == len(planted.uids)


def test_every_representation_is_planted_in(few: Outcome) -> None:
    planted_in = {vr for planted in few.planted for vr in planted.vrs}
    assert planted_in | {"SQ", "AT", "US", "SS"} >= {vr.value for vr in VR if " or " not in vr.value}


@pytest.mark.slow
def test_nothing_survives_in_500_files(tmp_path: Path) -> None:
    outcome = _make(500, tmp_path)
    for planted, path in outcome.pairs():
        assert survivors(planted, path.read_bytes()) == [], f"seed {path.name}"
    _check_dump(outcome)


def _check_dump(outcome: Outcome) -> None:
    """Has DCMTK print every element of every file, in full, and searches what it prints."""
    pairs = outcome.pairs()
    paths = [str(path) for _, path in pairs]
    done = subprocess.run(["dcmdump", "+L", "-q", *paths], capture_output=True, check=True)
    dumps = done.stdout.split(b"# Dicom-File-Format")[1:]
    for (planted, _), dump in zip(pairs, dumps, strict=True):
        assert b"PatientIdentityRemoved" in dump
        assert survivors(planted, dump) == []
