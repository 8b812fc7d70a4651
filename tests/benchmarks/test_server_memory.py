"""The simulated model has the size that the benchmark claims, and its report says which side of the bar a run is on."""

from benchmarks.server_memory.__main__ import markdown
from benchmarks.server_memory.layout import layout, parameter_count


def test_the_model_has_about_five_million_parameters() -> None:
    assert 5_000_000 <= parameter_count() < 5_500_000
    assert len(layout()) == 16


def test_the_report_says_which_side_of_the_bar() -> None:
    row = {
        "sites": 4,
        "parameters": 5_000_000,
        "rounds": 3,
        "peak_mib": 300.0,
        "torch_loaded": False,
        "round_seconds": [2.0],
    }
    text = markdown([row, row | {"sites": 64, "peak_mib": 390.0}])
    assert "| 4 | 5,000,000 | 3 | 315 | yes | no | 2 |" in text
    assert "| 64 | 5,000,000 | 3 | 409 | no | no | 2 |" in text
