"""Log lines: for machines and for people, bounded, and never in the way."""

import io
import json
import logging
import threading

from kvgossip.node.effects import Event
from kvgossip.runtime.log import BURST, LINES_WAITING_MAX, Log, LogHandler


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Stuck(io.StringIO):
    """A stream whose reader does not read until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.go_on.wait(10)
        return super().write(text)


def lines_of(stream: io.StringIO) -> list[dict[str, str | int]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_for_machines_is_json_with_the_fields_of_the_event() -> None:
    stream = io.StringIO()
    log = Log(node="n1", cluster="c", stream=stream)
    log.write(Event("member-down", {"peer": "a:1", "node": "forged"}))
    log.close()
    (line,) = lines_of(stream)
    ts = line.pop("ts")
    assert str(ts).endswith("Z")
    assert line == {"level": "warning", "event": "member-down", "node": "n1", "cluster": "c", "peer": "a:1"}


def test_a_line_for_people_moves_no_cursor() -> None:
    stream = Terminal()
    log = Log(node="n1", cluster="c", stream=stream)
    log.write(Event("frame-refused", {"reason": "evil\x1b[2J\nline"}))
    log.close()
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_flood_of_one_event_is_cut_and_leaves_the_others_their_lines() -> None:
    stream = io.StringIO()
    log = Log(node="n1", cluster="c", stream=stream)
    for _ in range(BURST * 5):
        log.write(Event("frame-refused", {}))
    log.write(Event("member-down", {}))
    log.close()
    names = [line["event"] for line in lines_of(stream)]
    assert BURST <= names.count("frame-refused") <= BURST + 2
    assert names[-1] == "member-down"


def test_a_reader_that_stops_reading_does_not_stop_the_node() -> None:
    stream = Stuck()
    log = Log(node="n1", cluster="c", stream=stream)
    for number in range(LINES_WAITING_MAX * 2):
        log.write(Event(f"event-{number}", {}))
    stream.go_on.set()
    log.close()


def test_what_libraries_say_becomes_a_line() -> None:
    stream = io.StringIO()
    log = Log(node="n1", cluster="c", stream=stream)
    logger = logging.getLogger("kvgossip.test_log")
    handler = LogHandler(log)
    logger.addHandler(handler)
    try:
        logger.warning("careful: %s", "x")
    finally:
        logger.removeHandler(handler)
    log.close()
    (line,) = lines_of(stream)
    assert line["message"] == "careful: x"
