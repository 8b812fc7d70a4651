"""A package that is withdrawn while it is served gives no results any more."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedvoxel.cli.trust_options import remarks_of_index
from fedvoxel.errors import PackageError
from fedvoxel.export.publishing import Publisher
from fedvoxel.serving.refusal import refusal_of
from fedvoxel.serving.standing import EVERY_S, Standing
from tests.export.package_sample import sample_package, sample_signer, sample_trust


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_what_the_index_says_is_asked_again(tmp_path: Path) -> None:
    package, index, clock = sample_package(tmp_path), tmp_path / "releases", Clock()
    lead = Publisher(index, sample_signer(), sample_trust(), tmp_path / "lead.json")
    lead.publish(package.path, "released", "good", datetime.now(UTC))
    standing = Standing(lambda: remarks_of_index(package, index, sample_trust(), False), clock)
    assert standing.remarks() == ()
    lead.set_state("hippocampus", "1.0.0", "superseded", "there is a better one", datetime.now(UTC))
    clock.now += EVERY_S - 1
    assert standing.remarks() == ()
    clock.now += 1
    assert "is superseded" in standing.remarks()[0]
    lead.set_state("hippocampus", "1.0.0", "withdrawn", "misses small ones", datetime.now(UTC))
    clock.now += EVERY_S
    for _ in range(2):
        with pytest.raises(PackageError, match="misses small ones") as refused:
            standing.remarks()
    assert not refusal_of(refused.value).is_clients and "misses small ones" in refusal_of(refused.value).text


def test_an_index_that_cannot_be_read_says_nothing_good_until_it_can() -> None:
    clock, answers = Clock(), iter([("fine.",), PackageError("gone"), ("fine again.",)])

    def ask() -> tuple[str, ...]:
        answer = next(answers)
        if isinstance(answer, PackageError):
            raise answer
        return answer

    standing = Standing(ask, clock)
    assert standing.remarks() == standing.remarks() == ("fine.",)
    clock.now += EVERY_S
    with pytest.raises(PackageError, match="gone"):
        standing.remarks()
    clock.now += EVERY_S
    assert standing.remarks() == ("fine again.",)
