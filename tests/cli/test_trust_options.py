"""Who opens a package learns whether its signer was revoked, or that nobody looked."""

from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.cli.trust_options import read, remarks_on_release
from fedvoxel.export.package import open_package
from fedvoxel.review.server import listening
from tests.evaluation.inference.bright_studies import bright_study
from tests.evaluation.inference.command import RANGES, crl_file, root_file
from tests.export.package_sample import sample_package
from tests.export.throwaway_root import DAY, NOW

NO_LIST, NO_INDEX = "no revocation list was given", "No index of releases was consulted"


@pytest.mark.parametrize("command", ["predict", "review", "evaluate"])
def test_a_signer_who_was_revoked_by_then_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    study, package = str(bright_study(tmp_path / "study")), str(sample_package(tmp_path, input=RANGES).path)
    images = ["--images", study, "--labels", study, "--no-pdf"] if command == "evaluate" else [study]
    trust = ["--root", str(root_file(tmp_path)), "--crl", str(crl_file(tmp_path, revoked_from=NOW - DAY))]
    with listening(0) as taken:  # so that a review which begins all the same ends, too
        port = ["--port", str(taken.getsockname()[1])] if command == "review" else []
        assert main([command, package, *images, *trust, *port, "--out", str(tmp_path / "out")]) == 17
    assert "already revoked" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("with_list", [True, False])
def test_that_nobody_looked_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], with_list: bool) -> None:
    trust = read(root_file(tmp_path), crl_file(tmp_path) if with_list else None)
    package = open_package(sample_package(tmp_path).path, trust)
    (remark,) = remarks_on_release(package, None, trust, False)
    assert NO_INDEX in remark and (NO_LIST in capsys.readouterr().err) != with_list
