"""What a reader does is kept at once, played back, and never mixed up with another reader's."""

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedvoxel.errors import ReviewError
from fedvoxel.review.study_export import export_study
from tests.review.reading_sample import SHAPE, Page, desk_of, said, stroke, write_reading

CASE, OTHER = "case-000000000000", "case-000000000001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_reading(tmp_path / "prepared")


def label_cut(page: Page, name: str, plane: str = "axial", index: int = 12) -> np.ndarray:
    answer = page.get(f"/api/cases/{CASE}/label/{name}/{plane}/{index}")
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content, dtype=np.uint8).reshape(SHAPE[1], SHAPE[0])


def begin(page: Page, facts: dict, candidate: str = "model", revision: int = 0) -> dict:
    body = {"visit": facts["visit"], "active_s": 0.0, "candidate": candidate, "revision": revision}
    answer = page.post(f"/api/cases/{CASE}/begin", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_case_is_told_with_its_planes_and_volumes(folder: Path, tmp_path: Path) -> None:
    facts = Page(desk_of(folder, tmp_path / "study")).visit(CASE)
    assert facts["candidates"] == ["model", "manual"]
    assert facts["planes"]["sagittal"]["sides"] == ["A", "P", "S", "I"]
    assert facts["planes"]["axial"]["slices"] == 24
    assert facts["largest"]["model"]["axial"] == 12
    assert facts["volumes_ml"]["model"]["organ"] == pytest.approx(4 / 3 * np.pi * 1.4**3, rel=0.2)
    assert facts["uncertainty"] is True and facts["presets"][0]["name"] == "Standard"


def test_a_case_is_loaded_while_its_page_is_on_its_way(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study")
    page = Page(desk)
    assert list(desk._shown) == []
    assert page.get(f"/case?case={CASE}").status_code == page.get("/case?case=nobody").status_code == 200
    assert list(desk._shown) == [CASE]


def test_the_first_case_without_an_answer_is_loaded_while_the_worklist_is_looked_at(
    folder: Path, tmp_path: Path
) -> None:
    desk = desk_of(folder, tmp_path / "study")
    page = Page(desk)
    facts = page.visit(CASE)
    answer = {"visit": facts["visit"], "active_s": 1.0, "said": said(model="accept", manual="accept")}
    assert page.post(f"/api/cases/{CASE}/answer", answer).status_code == 200
    desk._shown.clear()
    assert page.get("/").status_code == 200
    assert list(desk._shown) == [OTHER]


@pytest.mark.parametrize(
    ("what", "text"),
    [("damaged", "too early"), ("exchanged", "was exchanged since the case was opened"), ("of another grid", "grid")],
)
def test_a_map_of_uncertainty_that_is_not_to_be_trusted_is_not_shown_and_the_case_is(
    folder: Path, tmp_path: Path, what: str, text: str
) -> None:
    page, path = Page(desk_of(folder, tmp_path / "study")), folder / CASE / "unsure.nii.gz"
    whole, image = path.read_bytes(), nibabel.load(path)
    if what == "damaged":
        path.write_bytes(whole[:-50])
    elif what == "of another grid":
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), image.affine), path)
    assert page.visit(CASE)["uncertainty"] is True
    if what == "exchanged":
        nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.float32), image.affine), path)
    answer = page.get(f"/api/cases/{CASE}/uncertainty/axial/12.png")
    assert answer.status_code == 422 and text in answer.json()["error"] and str(folder) not in answer.text
    path.write_bytes(whole)
    if what == "exchanged":
        assert page.get(f"/api/cases/{CASE}/uncertainty/axial/12.png").status_code == 200, "it is tried anew"


def test_label_maps_arrive_voxel_for_voxel(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    page.visit(CASE)
    # LPS voxels: a picture's columns and rows are the file's own first and second axis.
    stored = np.asarray(nibabel.load(folder / CASE / "model.nii.gz").dataobj)
    assert np.array_equal(label_cut(page, "model"), stored[:, :, 12].T)
    whole = gzip.decompress(gzip.compress(page.get(f"/api/cases/{CASE}/volume/model.nii").content))
    sent = nibabel.Nifti1Image.from_bytes(whole)
    assert np.array_equal(np.asarray(sent.dataobj), stored)
    assert np.allclose(sent.affine, nibabel.load(folder / CASE / "image.nii.gz").affine)


def test_strokes_are_kept_at_once_and_played_back(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    before = label_cut(page, "model")
    begun = begin(page, facts)
    assert (begun["base"], begun["revision"]) == ("model", 1)
    painted = page.edit(CASE, facts, 1, action="paint", stroke=stroke()).json()
    assert (painted["revision"], painted["can_undo"], painted["plane"], painted["index"]) == (2, True, "axial", 12)
    changed = label_cut(page, "corrected")
    assert changed[10, 10] == 1 and np.array_equal(label_cut(page, "model"), before)
    # The browser is closed and the program killed: another one starts on the same folder.
    again = Page(desk_of(folder, tmp_path / "study"))
    facts = again.visit(CASE)
    assert (facts["edit"]["base"], facts["edit"]["revision"]) == ("model", 2)
    assert np.array_equal(label_cut(again, "corrected"), changed)
    assert again.edit(CASE, facts, 2, action="undo").status_code == 200
    assert np.array_equal(label_cut(again, "corrected"), before)
    assert again.edit(CASE, facts, 3, action="redo").json()["can_redo"] is False
    assert np.array_equal(label_cut(again, "corrected"), changed)


def test_a_stroke_that_was_cut_off_is_the_only_one_lost(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    begin(page, facts)
    page.edit(CASE, facts, 1, action="paint", stroke=stroke())
    kept = label_cut(page, "corrected")
    page.edit(CASE, facts, 2, action="paint", stroke=stroke(points=[[20.5, 30.5]]))
    (chain,) = (tmp_path / "study").rglob("events.jsonl")
    lines = chain.read_bytes().splitlines(keepends=True)
    chain.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    chain.with_name("head.json").write_bytes(lines[-2])
    again = Page(desk_of(folder, tmp_path / "study"))
    assert again.visit(CASE)["edit"]["revision"] == 2
    assert np.array_equal(label_cut(again, "corrected"), kept)


def test_a_record_that_was_changed_is_not_believed(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    page.visit(CASE)
    (chain,) = (tmp_path / "study").rglob("events.jsonl")
    chain.write_bytes(chain.read_bytes().replace(b"visited", b"visitee"))
    answer = Page(desk_of(folder, tmp_path / "study")).post(f"/api/cases/{CASE}/visit")
    assert answer.status_code == 422 and "events.jsonl" in answer.json()["error"]


def test_two_windows_of_a_reader_do_not_overwrite_each_other(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    one, two = page.visit(CASE), page.visit(CASE)
    begin(page, one)
    refused = page.edit(CASE, two, 0, action="paint", stroke=stroke())
    assert refused.status_code == 409 and "another window" in refused.json()["error"]
    assert page.edit(CASE, two, 1, action="paint", stroke=stroke()).status_code == 200


def test_two_programs_on_a_folder_do_not_overwrite_each_other(folder: Path, tmp_path: Path) -> None:
    one, two = (Page(desk_of(folder, tmp_path / "study")) for _ in range(2))
    facts, other = one.visit(CASE), two.visit(CASE)
    assert (
        one.post(
            f"/api/cases/{CASE}/begin", {"visit": facts["visit"], "active_s": 0, "candidate": "model", "revision": 0}
        ).status_code
        == 409
    )
    facts = one.visit(CASE)
    begin(one, facts)
    assert two.edit(CASE, other, 0, action="undo").status_code == 422
    assert (
        two.post(
            f"/api/cases/{CASE}/begin", {"visit": other["visit"], "active_s": 0, "candidate": "manual", "revision": 0}
        ).status_code
        == 409
    )


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ({"action": "paint", "stroke": stroke(code=3)}, "structure from 1 to 2"),
        ({"action": "paint", "stroke": stroke(index=24)}, "no such slice"),
        ({"action": "undo"}, "nothing to undo"),
        ({"action": "redo"}, "nothing to redo"),
        ({"action": "paint", "stroke": stroke(radius_mm=float("1e9"))}, "stroke.radius_mm"),
        ({"action": "paint", "stroke": {**stroke(), "name": "Mary Miller"}}, "stroke.name"),
        ({"action": "paint", "stroke": stroke(points=[])}, "stroke.points"),
        ({"action": "burn"}, "action"),
    ],
)
def test_an_edit_that_cannot_be_made_changes_nothing(folder: Path, tmp_path: Path, what: dict, text: str) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    begin(page, facts)
    (chain,) = (tmp_path / "study").rglob("events.jsonl")
    before = chain.read_bytes()
    answer = page.edit(CASE, facts, 1, **what)
    assert answer.status_code == 422 and text in answer.json()["error"] and "Mary" not in answer.text
    assert chain.read_bytes() == before


def test_readers_see_their_own_work_only(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study", readers=("anna", "ben"))
    anna, ben = Page(desk, "anna"), Page(desk, "ben")
    facts = anna.visit(CASE)
    begin(anna, facts)
    anna.edit(CASE, facts, 1, action="paint", stroke=stroke())
    answer = {"visit": facts["visit"], "active_s": 1.0, "said": said(model="correct", manual="accept")}
    assert anna.post(f"/api/cases/{CASE}/answer", answer).status_code == 200
    his = ben.visit(CASE)
    assert his["edit"]["base"] is None and his["answered"] is False and his["draft"] is None
    assert ben.get(f"/api/cases/{CASE}/label/corrected/axial/12").status_code == 422
    assert [case["status"] for case in ben.get("/api/reading").json()["cases"]] == ["open", "new", "new"]
    assert [case["status"] for case in anna.get("/api/reading").json()["cases"]] == ["done", "new", "new"]
    assert ben.post(f"/api/cases/{CASE}/time", {"visit": facts["visit"], "active_s": 5}).status_code == 409
    assert "anna" not in ben.get("/api/reading").text


def test_a_correction_is_measured_written_and_exported(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study")
    page = Page(desk)
    facts = page.visit(CASE)
    begin(page, facts)
    page.edit(CASE, facts, 1, action="paint", stroke=stroke())
    body = {
        "visit": facts["visit"],
        "active_s": 1.0,
        "said": said(model="correct", manual="accept") | {"preferred": "manual", "note": "=1+1"},
    }
    page.post(f"/api/cases/{CASE}/answer", body)
    exported = export_study(desk.study, tmp_path / "export")
    assert (exported.answers, exported.corrected) == (2, 1)
    image = nibabel.load(folder / CASE / "image.nii.gz")
    corrected = nibabel.load(tmp_path / "export" / "corrected" / f"{CASE}-anna.nii.gz")
    assert np.allclose(corrected.affine, image.affine) and corrected.shape == image.shape
    assert np.array_equal(np.asarray(corrected.dataobj)[:, :, 12].T, label_cut(page, "corrected"))
    study = json.loads((tmp_path / "export" / "study.json").read_text())
    model = next(row for row in study["answers"] if row["candidate"] == "model")
    manual = next(row for row in study["answers"] if row["candidate"] == "manual")
    assert model["edits"][0]["after_ml"] > model["edits"][0]["before_ml"] and 0.9 < model["edits"][0]["dice"] < 1
    assert manual["edits"] == [] and (manual["preferred"], model["preferred"]) == (True, False)
    table = (tmp_path / "export" / "study.csv").read_text().splitlines()
    assert len(table) == 3 and table[1].endswith(",'=1+1")
    assert (tmp_path / "export").stat().st_mode & 0o077 == 0


def test_a_corrected_file_that_was_exchanged_is_not_exported(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study")
    page = Page(desk)
    facts = page.visit(CASE)
    begin(page, facts)
    page.edit(CASE, facts, 1, action="paint", stroke=stroke())
    page.post(
        f"/api/cases/{CASE}/answer",
        {"visit": facts["visit"], "active_s": 1.0, "said": said(model="correct", manual="accept")},
    )
    (file,) = (tmp_path / "study").rglob("corrected-*.nii.gz")
    file.write_bytes(b"another")
    with pytest.raises(Exception, match="is not the one that was answered"):
        export_study(desk.study, tmp_path / "export")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (said(model="accept"), "expected an answer to each of 2"),
        (said(model="accept", manual="accept", other="accept"), "expected an answer to each of 2"),
        (said(model="correct", manual="accept"), "corrected with the brush"),
        (said(model="accept", manual="accept") | {"preferred": "other"}, "preferred"),
        (said(model="accept", manual="accept") | {"note": "x" * 2001}, "said.note"),
        (said(model="fine", manual="accept"), "verdict"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(folder: Path, tmp_path: Path, answer: dict, text: str) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    refused = page.post(f"/api/cases/{CASE}/answer", {"visit": facts["visit"], "active_s": 1.0, "said": answer})
    assert refused.status_code == 422 and text in refused.json()["error"]
    assert page.get("/api/reading").json()["done"] == 0


def answered(page: Page, facts: dict, **verdicts: str) -> tuple[int, str]:
    body = {"visit": facts["visit"], "active_s": 1.0, "said": said(**verdicts)}
    sent = page.post(f"/api/cases/{CASE}/answer", body)
    return sent.status_code, sent.json().get("error", "")


def test_what_was_painted_is_not_left_out_by_accept(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    assert begin(page, facts)["changed"] is False
    assert page.edit(CASE, facts, 1, action="paint", stroke=stroke()).json()["changed"] is True
    code, text = answered(page, facts, model="accept", manual="accept")
    assert code == 422 and "answer correct to save what was painted, or choose Restart" in text
    assert page.get("/api/reading").json()["done"] == 0 and not list((tmp_path / "study").rglob("corrected-*"))
    assert answered(page, facts, model="correct", manual="accept")[0] == 200
    assert begin(page, facts, revision=2)["changed"] is False
    assert answered(page, facts, model="accept", manual="accept")[0] == 200


def test_what_was_not_changed_is_not_corrected(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    begin(page, facts)
    for revision, what in enumerate(({}, {"action": "paint", "stroke": stroke()}, {"action": "undo"})):
        if what and what["action"] == "paint":
            assert page.edit(CASE, facts, revision, **what).json()["changed"]
            continue
        if what:
            assert not page.edit(CASE, facts, revision, **what).json()["changed"]
        code, text = answered(page, facts, model="correct", manual="accept")
        assert code == 422 and "nothing is changed by the correction" in text
    assert page.get("/api/reading").json()["done"] == 0 and not list((tmp_path / "study").rglob("corrected-*"))


def test_what_was_painted_after_the_answer_is_said_and_not_exported(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study")
    page = Page(desk)
    facts = page.visit(CASE)
    assert answered(page, facts, model="accept", manual="accept")[0] == 200
    again = page.visit(CASE)
    begin(page, again)
    listed = page.get("/api/reading").json()
    assert listed["cases"][0]["status"] == "unsaved" and listed["done"] == 0
    with pytest.raises(ReviewError, match=f"{CASE}: anna changed it after the answer and did not save it"):
        export_study(desk.study, tmp_path / "export")
    page.edit(CASE, again, 1, action="paint", stroke=stroke())
    assert answered(page, again, model="correct", manual="accept")[0] == 200
    assert page.get("/api/reading").json()["cases"][0]["status"] == "done"
    exported = export_study(desk.study, tmp_path / "export")
    assert (exported.answers, exported.corrected, exported.remarks) == (2, 1, ())


def test_a_form_that_was_changed_after_the_answer_is_not_saved_either(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study", readers=("anna", "ben"))
    page, ben = Page(desk), Page(desk, "ben")
    facts = page.visit(CASE)

    def draft(verdict: str) -> str:
        judgements = [{"candidate": "model", "verdict": verdict}, {"candidate": "manual", "verdict": "accept"}]
        body = {"visit": facts["visit"], "active_s": 0, "draft": {"judgements": judgements}}
        assert page.post(f"/api/cases/{CASE}/draft", body).status_code == 200
        return str(page.get("/api/reading").json()["cases"][0]["status"])

    assert draft("accept") == "open"
    assert answered(page, facts, model="accept", manual="accept")[0] == 200
    assert answered(ben, ben.visit(CASE), model="accept", manual="accept")[0] == 200
    assert draft("accept") == "done" and draft("reject") == "unsaved"
    exported = export_study(desk.study, tmp_path / "export")
    assert exported.answers == 2 and exported.remarks == (
        f"{CASE}: anna changed it after the answer and did not save it; it is left out until that is done",
    )
    study = json.loads((tmp_path / "export" / "study.json").read_text())
    assert study["unsaved"] == [{"reader": "anna", "case": CASE}]
    assert {row["reader"] for row in study["answers"]} == {"ben"}


def test_an_answer_may_be_changed_and_the_last_counts(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study")
    page = Page(desk)
    for verdict in ("accept", "reject"):
        facts = page.visit(CASE)
        body = {"visit": facts["visit"], "active_s": 1.0, "said": said(model=verdict, manual="accept")}
        assert page.post(f"/api/cases/{CASE}/answer", body).status_code == 200
    assert page.get("/api/reading").json()["cases"][0]["verdicts"]["model"] == "reject"
    (chain,) = (tmp_path / "study").rglob("events.jsonl")
    assert chain.read_text().count('"kind":"answered"') == 2


def test_a_visit_cannot_have_lasted_longer_than_it_did(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    assert page.post(f"/api/cases/{CASE}/time", {"visit": facts["visit"], "active_s": 86400}).status_code == 200
    assert page.get("/api/reading").json()["cases"][0]["active_s"] < 600
    assert page.post(f"/api/cases/{CASE}/time", {"visit": "0" * 16, "active_s": 1}).status_code == 409


def test_what_stands_in_the_form_is_there_again(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    draft = {
        "judgements": [{"candidate": "model", "verdict": "reject", "rating": None, "errors": ["leak"]}],
        "preferred": None,
        "compared": True,
        "note": "half a sen",
    }
    assert (
        page.post(f"/api/cases/{CASE}/draft", {"visit": facts["visit"], "active_s": 0, "draft": draft}).status_code
        == 200
    )
    again = Page(desk_of(folder, tmp_path / "study")).visit(CASE)
    assert again["draft"] == draft and again["answered"] is False


def test_a_distance_is_kept_and_taken_away(folder: Path, tmp_path: Path) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    line = {"visit": facts["visit"], "active_s": 0, "plane": "coronal", "index": 3, "start": [1, 1], "end": [4, 5]}
    (kept,) = page.post(f"/api/cases/{CASE}/measure", line).json()
    assert kept["length_mm"] == pytest.approx(np.hypot(3 * 1.0, 4 * 2.5), abs=0.01)
    assert page.visit(CASE)["measured"] == [kept]
    assert page.post(f"/api/cases/{CASE}/unmeasure", {"visit": facts["visit"], "active_s": 0}).json() == []


def test_a_blinded_reader_is_told_nothing_that_unblinds(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(folder, tmp_path / "study", blinded=True)
    page = Page(desk)
    told = page.get("/api/reading").text
    facts = page.visit(CASE)
    assert facts["candidates"] == ["A", "B"] and facts["uncertainty"] is False
    told += json.dumps(facts)
    for path in ("label/model/axial/1", "uncertainty/axial/1.png", "volume/manual.nii"):
        assert page.get(f"/api/cases/{CASE}/{path}").status_code == 422
    assert "model" not in told and "manual" not in told and "Sample" not in told
    letters = desk.study.shown_candidates(CASE)
    stored = np.asarray(nibabel.load(folder / CASE / f"{letters['A']}.nii.gz").dataobj)
    assert np.array_equal(label_cut(page, "A"), stored[:, :, 12].T)
    body = {"visit": facts["visit"], "active_s": 1.0, "said": said(A="accept", B="reject")}
    assert page.post(f"/api/cases/{CASE}/answer", body).status_code == 200
    draft = {"visit": facts["visit"], "active_s": 0, "draft": {"judgements": []}}
    for refused in (page.post(f"/api/cases/{CASE}/answer", body), page.post(f"/api/cases/{CASE}/draft", draft)):
        assert refused.status_code == 422 and "final" in refused.json()["error"]
    assert (
        page.post(
            f"/api/cases/{CASE}/begin", {"visit": facts["visit"], "active_s": 0, "candidate": "A", "revision": 0}
        ).status_code
        == 422
    )
    export_study(desk.study, tmp_path / "export")
    rows = json.loads((tmp_path / "export" / "study.json").read_text())["answers"]
    assert {(row["candidate"], row["verdict"], row["shown_as"]) for row in rows} == {
        (letters["A"], "accept", "A"),
        (letters["B"], "reject", "B"),
    }


def test_a_case_that_cannot_be_shown_says_why_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    (folder / CASE / "model.nii.gz").write_bytes(b"broken")
    page = Page(desk_of(folder, tmp_path / "study"))
    answer = page.post(f"/api/cases/{CASE}/visit")
    assert answer.status_code == 422 and "NIfTI" in answer.json()["error"] and str(folder) not in answer.text
    assert page.visit(OTHER)["case"] == OTHER
    assert page.post("/api/cases/../../etc/visit").status_code in (404, 422)
    assert page.post("/api/cases/nobody/visit").status_code == 422


def test_an_empty_label_map_can_be_read(folder: Path, tmp_path: Path) -> None:
    stored = nibabel.load(folder / CASE / "model.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros(SHAPE, dtype=np.uint8), stored.affine), folder / CASE / "model.nii.gz")
    facts = Page(desk_of(folder, tmp_path / "study")).visit(CASE)
    assert facts["volumes_ml"]["model"] == {"organ": 0.0, "lesion": 0.0}
    assert facts["largest"]["model"]["axial"] == 12


def test_a_full_disk_saves_nothing_and_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(desk_of(folder, tmp_path / "study"))
    facts = page.visit(CASE)
    begin(page, facts)
    page.edit(CASE, facts, 1, action="paint", stroke=stroke())

    def full(path: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedvoxel.review.answering.write_nifti", full)
    body = {"visit": facts["visit"], "active_s": 1.0, "said": said(model="correct", manual="accept")}
    answer = page.post(f"/api/cases/{CASE}/answer", body)
    assert answer.status_code == 507 and "nothing was saved: No space left" in answer.json()["error"]
    assert page.get("/api/reading").json()["done"] == 0
