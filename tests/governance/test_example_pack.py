"""The example under docs/results is what was signed, and its page says what is in it."""

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from fedvoxel.export.trust import Trust
from fedvoxel.governance.evidence.checking import check_pack
from fedvoxel.records.identity import load_root

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PACK = RESULTS / "evidence_pack"
TRUST = Trust(load_root(RESULTS / "evidence_pack_root.pem"))


def test_every_file_is_what_was_signed_and_the_page_counts_as_the_map_does() -> None:
    report = check_pack(PACK, TRUST, datetime.now(UTC))
    assert report.holds
    coverage = json.loads((PACK / "nist_ai_rmf.json").read_text())["coverage"]
    page = (RESULTS / "evidence_pack.md").read_text()
    counts = [coverage[name] for name in ("evidenced_by_artefacts", "subcategories", "human_input_needed")]
    told = re.search(r"(\d+) of (\d+) subcategories .* artefacts, (\d+) need human input, and (\d+) are not", page)
    assert told and [int(one) for one in told.groups()] == [*counts, coverage["not_evidenced"]]
    assert coverage["evidenced_by_statement_only"] == 0, "nobody has filled in the form"


def test_a_file_that_is_taken_away_turns_what_it_evidenced(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(PACK, tmp_path / "pack"))
    (copy / "artefacts" / "privacy_audit.json").unlink()
    report = check_pack(copy, TRUST, datetime.now(UTC))
    assert not report.holds and "MEASURE 2.13" in {one.id for one in report.turned}


def test_no_hospital_is_named_and_no_order_tells_it() -> None:
    for path in PACK.rglob("*"):
        assert not path.is_file() or not re.search(r"hospital-[a-d]|/tmp/|/home/", path.read_text()), path.name
    for name in ("artefacts/outcome.json", "package/provenance.json"):
        values = json.loads((PACK / name).read_text())
        sites = list(values.get("facts", values)["sites"])
        assert sites == sorted(sites) and len(sites) == 4
