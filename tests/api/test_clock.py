"""A node that goes by the others' clock says so: in every answer, in its health, and in its status."""

import pytest

from kvgossip.protocol.clock_offsets import ClockOffsets
from tests.api.served import Served


def test_a_corrected_clock_is_told_in_a_header_in_health_and_in_the_status(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClockOffsets, "vote", lambda self, live: False)  # as two others would have it
    monkeypatch.setattr(served.node.replica._peers.offsets, "correction_ms", -3_600_000)
    for path in ("/v1/kv/missing", "/v1/status", "/readyz", "/no-such-path"):
        assert served.get(path).headers["kv-clock-correction"] == "-3600000"
    for _ in range(2):
        served.put("/v1/mv/clock", b"x")
    for streamed in (served.get("/v1/mv/clock"), served.call("POST", "/v1/batch", b"")):
        assert streamed.headers["kv-clock-correction"] == "-3600000"
    assert b"clock of this node is wrong" in served.get("/readyz").body
    assert served.get("/v1/status").json()["clock_correction_ms"] == -3_600_000


def test_a_right_clock_is_not_mentioned(served: Served) -> None:
    answer = served.get("/readyz")
    assert "kv-clock-correction" not in answer.headers
    assert answer.body == b"ok\n"
