from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    system: str
    repetition: int
    values: dict
    failed: str = ""


def write_report(m, a, d):
    print(m, a)
