"""Why somebody could not sign in: a sentence for the person, a code for the log, and never who it was."""

from fedvoxel.errors import ReviewError

_IT = "Tell the hospital's IT department; the program's log says what was wrong."
REASONS = {
    "not_begun": (400, "This sign-in was not begun in this browser, was used already, or took too long."),
    "declined": (403, "The hospital's sign-in did not let you in."),
    "no_reader": (403, "The hospital knows you, but you are no reader of this study. Ask the person who runs it."),
    "not_valid": (502, f"What the hospital's sign-in said of you cannot be trusted. {_IT}"),
    "bad_answer": (502, f"The hospital's sign-in gave an answer that cannot be used. {_IT}"),
    "unreachable": (502, "The hospital's sign-in cannot be reached. Try again; if it goes on, tell the IT department."),
    "busy": (503, "Many people sign in at this moment. Try again in a few seconds."),
}


class RefusedSignIn(ReviewError):  # noqa: N818 - it is an answer to a person as much as an error
    """Says that nobody was let in; `reason` is a stable code.

    Attributes:
        reason: A key of `REASONS`.
        status: The page's HTTP status.
        detail: For the log: which check failed; no secret, and nothing of the person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.status, sentence = REASONS[reason]
        super().__init__(sentence)
        self.reason, self.detail = reason, detail
