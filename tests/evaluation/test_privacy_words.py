from fedvoxel.evaluation.privacy_words import what_left
from fedvoxel.federation.case_counts import tells_case_counts, was_masked
from fedvoxel.federation.outcome import MASKED
from tests.sample_run import sample_outcome


def test_a_run_whose_server_saw_sums_alone_says_so_and_tells_no_case_count() -> None:
    plain = sample_outcome()
    codecs = {"codecs": {"up": f"{MASKED}, 16 bits"}}
    masked = plain.model_copy(update={"rounds": tuple(one.model_copy(update=codecs) for one in plain.rounds)})
    assert not was_masked(plain) and tells_case_counts(plain) and "case counts, losses" in what_left(plain)
    assert was_masked(masked) and not tells_case_counts(masked)
    assert "learned sums alone" in what_left(masked) and "losses" not in what_left(masked)
