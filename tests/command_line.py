"""What a command printed, and how it ended."""


class Answer:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def refused(answer: Answer, *said: str) -> None:
    """One clear line on the error stream, exit code 2, no traceback."""
    assert answer.code == 2, answer.err
    lines = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, answer.err
    assert "Traceback" not in answer.err
    for part in said:
        assert part in lines[0]
