"""What a package adds to its run, and that it must be of that run."""

from pathlib import Path

import pytest

from fedvoxel.errors import PackageError
from fedvoxel.export.model_card import MODEL_CARD
from fedvoxel.ops.trackers.package_facts import card_and_tags
from tests.export.exported_job import exported
from tests.export.package_sample import sample_package
from tests.finished_job import RUN_KEY


def test_the_card_and_which_package_it_is() -> None:
    package = exported()
    files, tags = card_and_tags(package, RUN_KEY)
    assert files == {"model_card.md": package.member(MODEL_CARD)} and b"Not a medical device" in files["model_card.md"]
    assert tags == {"package": "hippocampus 1.0.0", "package_sha256": package.sha256}


def test_a_package_of_another_run_is_refused() -> None:
    with pytest.raises(PackageError, match=f"is of run {RUN_KEY}, not of knee"):
        card_and_tags(exported(), "knee")


def test_a_package_that_does_not_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"has no provenance\.json; export it"):
        card_and_tags(sample_package(tmp_path), RUN_KEY)
