"""The progress of a long run, on a terminal and in a log."""

import io

from fst.console.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(clock, seconds_each, total):
    log = io.StringIO()
    with Progress(total, "photo", log) as shown:
        for _ in range(total):
            clock[0] += seconds_each
            shown.update()
    return log.getvalue().splitlines()


def test_a_log_gets_a_line_every_half_minute(clock):
    lines = told(clock, 10, 12)
    assert lines == [
        "3 of 12 photos done, about 2 min left",
        "6 of 12 photos done, about 60 s left",
        "9 of 12 photos done, about 30 s left",
    ]
    assert told(clock, 600, 20)[0] == "1 of 20 photos done, about 3.2 h left"


def test_a_short_run_and_a_single_photo_leave_no_line(clock):
    assert told(clock, 1, 20) == []
    assert told(clock, 100, 1) == []


def test_a_terminal_gets_a_bar_and_no_line(clock):
    terminal = Terminal()
    with Progress(3, "photo", terminal) as shown:
        clock[0] += 100
        shown.update()
        shown.event("a line")
    assert "/3" in terminal.getvalue()
    assert "a line\n" in terminal.getvalue()
    assert "left" not in terminal.getvalue()
