"""What a site's reply is called in the outcome is one line of text, whatever the site has called its arrays."""

from fedvoxel.errors import UpdateError
from fedvoxel.flare.messages import one_line, refusal_of


def test_what_is_no_text_does_not_reach_the_outcome() -> None:
    said = refusal_of(UpdateError("wrong keys: \ud800 and \x1b[2J\nand \u202e"))
    assert said == "wrong keys: \ufffd and \ufffd[2J and \ufffd"
    assert said.encode()
    assert one_line("x" * 1000) == "x" * 500
