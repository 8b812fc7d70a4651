"""When two names of a segment or structure are the same: one rule for what may stay, and for what is then looked up."""


def plain_name(text: str) -> str:
    """Returns a name without regard to case and space: "  Left  LUNG" is "left lung"."""
    return " ".join(text.strip("\0").split()).casefold()
