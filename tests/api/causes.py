"""Every status by its cause: what the table of docs/HTTP.md is made from, and what brings each row about.

python -m tests.api.causes          prints the table
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kvgossip.api import connection
from kvgossip.config import SIBLINGS_MAX, VALUE_BYTES_MAX
from kvgossip.errors import CorruptRowError
from kvgossip.model.ids import Key
from kvgossip.model.value import Value
from kvgossip.node.effects import Refusal, Refused
from kvgossip.runtime.engine import Tell
from kvgossip.store.memory import MemoryStore
from tests.api.served import Answer, Served

Got = tuple[int, str]
"""Status and problem; no problem is an empty string."""
Bring = Callable[[Served, pytest.MonkeyPatch], Got]


@dataclass(frozen=True, slots=True)
class Cause:
    status: int
    problem: str
    text: str
    bring: Bring


def got(answer: Answer) -> Got:
    return answer.status, answer.problem if answer.status >= 400 else ""


def ask(method: str, target: str, body: bytes | None = None, **headers: str) -> Bring:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda served, patch: got(served.call(method, target, body, named))


def after(first: tuple[str, str, bytes | None], last: Bring) -> Bring:
    def bring(served: Served, patch: pytest.MonkeyPatch) -> Got:
        served.call(*first)
        return last(served, patch)

    return bring


def send(data: bytes) -> Bring:
    def bring(served: Served, patch: pytest.MonkeyPatch) -> Got:
        answer = served.send_raw(data)
        _, _, rest = answer.partition(b"/problems/")
        return int(answer.split(b" ")[1]), rest.partition(b'"')[0].decode()

    return bring


def refused(reason: Refusal) -> Bring:
    def bring(served: Served, patch: pytest.MonkeyPatch) -> Got:
        def refuse(key: Key, value: Value, tell: Tell, *more: object) -> None:
            tell(Refused(reason, "told by a test"))

        patch.setattr(served.node, "begin_put", refuse)
        return got(served.put("/v1/kv/refused", b"x"))

    return bring


def patched(attribute: str, value: object, last: Bring) -> Bring:
    def bring(served: Served, patch: pytest.MonkeyPatch) -> Got:
        patch.setattr(served.node, attribute, value)
        return last(served, patch)

    return bring


def patch_of(name: str, value: object, last: Bring) -> Bring:
    def bring(served: Served, patch: pytest.MonkeyPatch) -> Got:
        patch.setattr(name, value)
        return last(served, patch)

    return bring


def bring_unreadable(served: Served, patch: pytest.MonkeyPatch) -> Got:
    def fail(store: MemoryStore, asked: Key | list[Key]) -> None:
        raise CorruptRowError("told by a test")

    patch.setattr(MemoryStore, "get", fail)
    patch.setattr(MemoryStore, "get_many", fail)
    return got(served.get("/v1/kv/a"))


def bring_too_many_connections(served: Served, patch: pytest.MonkeyPatch) -> Got:
    patch.setattr(connection, "CONNECTIONS_MAX", 0)
    return send(b"")(served, patch)


def bring_siblings(served: Served, patch: pytest.MonkeyPatch) -> Got:
    for _ in range(2):
        served.put("/v1/mv/cause-siblings", b"x")
    return got(served.get("/v1/mv/cause-siblings"))


def bring_too_many_siblings(served: Served, patch: pytest.MonkeyPatch) -> Got:
    for _ in range(SIBLINGS_MAX):
        served.put("/v1/mv/cause-many", b"x")
    return got(served.put("/v1/mv/cause-many", b"x"))


def bring_entry_too_large(served: Served, patch: pytest.MonkeyPatch) -> Got:
    for _ in range(3):
        served.put("/v1/mv/cause-large", b"x" * VALUE_BYTES_MAX)
    return got(served.put("/v1/mv/cause-large", b"x" * VALUE_BYTES_MAX))


def bring_line_too_long(served: Served, patch: pytest.MonkeyPatch) -> Got:
    patch.setattr("kvgossip.api.batch.LINE_BYTES_MAX", 10)
    return line(b'{"op": "get", "key": "a"}')(served, patch)


def bring_slow_body(served: Served, patch: pytest.MonkeyPatch) -> Got:
    patch.setattr("kvgossip.api.body.BODY_TIMEOUT_S", 0.1)
    return send(b"PUT /v1/kv/slow HTTP/1.1\r\nHost: n\r\nContent-Length: 3\r\n\r\nx")(served, patch)


def line(raw: bytes) -> Bring:
    """The status of a line of a batch; the batch itself is 200."""

    def bring(served: Served, patch: pytest.MonkeyPatch) -> Got:
        answer = served.call("POST", "/v1/batch", raw)
        assert answer.status == 200
        document = answer.json()
        problem = document.get("problem", {})
        assert isinstance(document["status"], int)
        assert isinstance(problem, dict)
        return document["status"], str(problem.get("type", "")).removeprefix("/problems/")

    return bring


X = b"x"
GET_A = b"GET /v1/kv/a HTTP/1.1\r\nHost: n\r\n"
MADE = ("PUT", "/v1/kv/cause", X)

CAUSES = [
    Cause(200, "", "a GET or HEAD that found what it asks for", after(MADE, ask("GET", "/v1/kv/cause"))),
    Cause(200, "", "any batch, whatever its lines are answered", ask("POST", "/v1/batch", b"{")),
    Cause(201, "", "a PUT of a key that had no live value on this node", ask("PUT", "/v1/kv/cause-new", X)),
    Cause(202, "", "a leave that the node will carry out", ask("POST", "/v1/cluster/leave")),
    Cause(204, "", "a PUT of a key that had one", after(MADE, ask("PUT", "/v1/kv/cause", X))),
    Cause(204, "", "any DELETE that was not refused", ask("DELETE", "/v1/kv/cause-unknown")),
    Cause(300, "", "a GET of an `mv` key with several values", bring_siblings),
    Cause(
        304,
        "",
        "a GET or HEAD whose `If-None-Match` names the version here",
        after(MADE, ask("GET", "/v1/kv/cause", If_None_Match="*")),
    ),
    Cause(400, "bad-request", "no HTTP/1.1, or a garbled body", send(b"GET / HTTP/1.1\r\nbroken\r\n\r\n")),
    Cause(400, "bad-target", "a `#` in the target", ask("GET", "/v1/kv/a#b")),
    Cause(400, "bad-key", "a key that is empty, too long, or no UTF-8", ask("GET", "/v1/kv/%ff")),
    Cause(
        400,
        "bad-context",
        "a context of another key or cluster, or one for a `kv` key",
        ask("PUT", "/v1/mv/a", X, Kv_Context="AAAA"),
    ),
    Cause(400, "bad-faults", "fault rules that are malformed or name nobody", ask("POST", "/v1/faults", X)),
    Cause(
        400,
        "bad-tags",
        "tags that are malformed, too many or too long",
        ask("PUT", "/v1/cluster/tags", b'{"": "x"}'),
    ),
    Cause(400, "unknown-parameter", "a parameter that is not known there", ask("GET", "/v1/kv?limits=1")),
    Cause(400, "bad-parameter", "a parameter with a value that is not allowed", ask("GET", "/v1/kv?limit=0")),
    Cause(400, "bad-ttl", "a `ttl` of zero, above ten years, or no decimal", ask("PUT", "/v1/kv/a?ttl=0", X)),
    Cause(
        400, "bad-cursor", "a cursor that was not given out for this listing", ask("GET", "/v1/kv?cursor=x")
    ),
    Cause(400, "bad-line", "in a batch: a line that is no such JSON object", line(b"{")),
    Cause(
        400,
        "bad-precondition",
        "`If-Match` or `If-None-Match` that is no list of ETags",
        ask("GET", "/v1/kv/a", If_Match="x"),
    ),
    Cause(404, "unknown-path", "a path that is not served", ask("GET", "/nowhere")),
    Cause(404, "not-found", "a key that has no live value on this node", ask("GET", "/v1/kv/cause-none")),
    Cause(
        404,
        "unknown-member",
        "a name or replica id that no member has",
        ask("POST", "/v1/cluster/forget/nobody"),
    ),
    Cause(404, "no-peer", "no other member that is alive and can serve", ask("GET", "/gossip/get-peer")),
    Cause(
        405,
        "method-not-allowed",
        "a method that is not served there; see `Allow`",
        ask("POST", "/v1/kv/a", X),
    ),
    Cause(
        406,
        "not-acceptable",
        "an `mv` key in no form that `Accept` covers",
        after(("PUT", "/v1/mv/cause", X), ask("GET", "/v1/mv/cause", Accept="text/none")),
    ),
    Cause(408, "request-timeout", "a body, or a line of a batch, that did not come in time", bring_slow_body),
    Cause(409, "too-many-siblings", "a write that would leave too many siblings", bring_too_many_siblings),
    Cause(409, "member-present", "a member to forget that is not gone", ask("POST", "/v1/cluster/forget/n1")),
    Cause(409, "stamps-exhausted", "an entry from the year 3000", refused(Refusal.STAMPS_EXHAUSTED)),
    Cause(
        412,
        "precondition-failed",
        "`If-Match` or `If-None-Match` that does not hold on this node",
        ask("PUT", "/v1/kv/cause-none", X, If_Match="*"),
    ),
    Cause(413, "line-too-long", "in a batch: a line above its limit", bring_line_too_long),
    Cause(
        413,
        "value-too-large",
        "a value above its limit",
        ask("PUT", "/v1/kv/a", b"x" * (VALUE_BYTES_MAX + 1)),
    ),
    Cause(413, "entry-too-large", "an `mv` entry that would be above its limit", bring_entry_too_large),
    Cause(
        414,
        "target-too-long",
        "a request target above its limit",
        send(b"GET /" + b"a" * connection.TARGET_BYTES_MAX + b" HTTP/1.1\r\nHost: n\r\n\r\n"),
    ),
    Cause(415, "bad-content-type", "a malformed `Content-Type`", ask("PUT", "/v1/kv/a", X, Content_Type="x")),
    Cause(415, "content-encoding", "a compressed body", ask("PUT", "/v1/kv/a", X, Content_Encoding="gzip")),
    Cause(
        417,
        "unknown-expectation",
        "an `Expect` other than `100-continue`",
        send(b"PUT /v1/kv/a HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n"),
    ),
    Cause(431, "headers-too-large", "headers above their limits", send(GET_A + b"A: a\r\n" * 200 + b"\r\n")),
    Cause(500, "internal-error", "a bug", after(MADE, patched("replica", None, ask("GET", "/v1/kv/cause")))),
    Cause(
        503, "not-ready", "a node that starts or stops", patched("_is_stopping", True, ask("GET", "/readyz"))
    ),
    Cause(503, "overloaded", "more writes than the disk takes", refused(Refusal.OVERLOADED)),
    Cause(503, "too-many-connections", "more connections than the limit", bring_too_many_connections),
    Cause(
        503,
        "too-many-listeners",
        "more streams of events than the limit",
        patch_of("kvgossip.runtime.member_feed.LISTENERS_MAX", 0, ask("GET", "/v1/cluster/events")),
    ),
    Cause(503, "read-only", "a disk that failed earlier, until a restart", refused(Refusal.READ_ONLY)),
    Cause(503, "disk-failed", "a disk that certainly did not take the write", refused(Refusal.DISK_FAILED)),
    Cause(503, "row-unreadable", "a row that the disk cannot give back", bring_unreadable),
    Cause(503, "outcome-unknown", "a disk that may have taken the write", refused(Refusal.OUTCOME_UNKNOWN)),
    Cause(505, "http-version", "HTTP/2 or HTTP/0.9", send(b"GET /livez HTTP/2.0\r\nHost: n\r\n\r\n")),
    Cause(507, "disk-full", "a disk without space", refused(Refusal.DISK_FULL)),
]


def table() -> str:
    lines = ["| status | problem | cause |", "|---|---|---|"]
    for cause in CAUSES:
        problem = f"`{cause.problem}`" if cause.problem else "–"
        lines.append(f"| {cause.status} | {problem} | {cause.text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
