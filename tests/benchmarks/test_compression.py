"""The page of the compression benchmark: ratios against float32 on the same seed, medians and means."""

from pathlib import Path

import pytest

from benchmarks.compression import CODECS, main, table
from fedvoxel.errors import ConfigError
from fedvoxel.updates.compression.config import READ_CODEC


def _run(size: int, dice: float, codec_s: float = 0.0) -> dict:
    times = {"training_s": 10.0, "codec_s": codec_s}
    return {"bfloat16": True, "bytes_up": [size, size], "bytes_down": [0, size], "dice": dice} | times


def test_a_line_compares_with_float32_on_the_same_seed() -> None:
    plain = [_run(1000, 0.88), _run(1000, 0.90), _run(1000, 0.86)]
    coarse = [_run(100, 0.87, 0.1), _run(50, 0.90, 0.2), _run(40, 0.88, 0.3)]
    lines = table({"float32": plain, "coarse": coarse}, [1, 2, 3]).splitlines()
    assert lines[-1] == "| coarse | 20.0 | 0.8833 | +0.0033 (-0.0100, +0.0000, +0.0200) | 2.00% |"
    assert lines[-2].startswith("| float32 | 1.0 | 0.8800 | +0.0000 ")


def test_runs_of_another_arithmetic_are_not_mixed_in_unsaid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.arithmetic.has_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match="this CPU has no arithmetic"):
        main(["--codecs", "float32", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="float32, which all are compared with, is not finished"):
        main(["--finished", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path)])
    assert not (tmp_path / "compression.md").exists()
    lines = table({"float32": [_run(1000, 0.88), _run(1000, 0.9) | {"bfloat16": False}]}, [1, 2]).splitlines()
    assert lines[-1] == "Trained in float32, on a CPU without bfloat16: float32 of seed 2."


def test_every_codec_of_the_benchmark_is_one_that_a_job_can_name() -> None:
    assert all(READ_CODEC.validate_python(codec).name for codec in CODECS.values() if codec)
