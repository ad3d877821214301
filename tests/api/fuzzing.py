"""Schemathesis against a running node: requests drawn from ``/openapi.json``, answers held to it.

    python -m tests.api.fuzzing --seconds 1200          what ``make fuzz-http`` runs; ends with the counts
    python -m tests.api.fuzzing --rng-seed 7 --rounds 1 replays a failure

Half of the requests follow the document and half break it; of a stream of events the beginning is looked at.
Every answer must have a status, a media type, a body and headers that the document names, none may be a 5xx,
and all come within ``TIMEOUT_S``. The node is a process with a data directory, and its memory is told.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kvgossip.api.member_events import MEDIA
from kvgossip.cli.local_cluster import LocalCluster
from tests.faults.memory import MemoryWatch

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OF_THE_CONNECTION = {"connection", "content-length", "content-type", "transfer-encoding"}
"""Headers that OpenAPI leaves to HTTP."""
SHARED_KEY = "shared"
LEAVE = "/v1/cluster/leave"
"""Ends the process, which is all that there is to it."""
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
TIMEOUT_S = 10.0

Counts = Counter[tuple[str, int]]


@schemathesis.serializer("application/x-ndjson")
def encode_lines(context: object, value: object) -> bytes:
    lines = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def fuzz(base_url: str, *, examples: int, rng_seed: int, without: Sequence[str] = ()) -> Counts:
    """So many requests of each kind to each operation, ``without`` some paths.

    Raises what schemathesis raises on a violation.
    """
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json")
    counts: Counts = Counter()
    with requests.Session() as session:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), "the document is no OpenAPI"
            operation = result.ok()
            if operation.path in without:
                continue
            can_be_broken = bool(operation.definition.raw["parameters"] or operation.body)
            for mode in MODES if can_be_broken else MODES[:1]:

                @seed(rng_seed)
                @settings(
                    max_examples=examples,
                    deadline=None,
                    database=None,
                    phases=(Phase.generate,),
                    suppress_health_check=list(HealthCheck),
                )
                @given(case=operation.as_strategy(generation_mode=mode))
                def check(case: Case[Any]) -> None:
                    if "key" in case.path_parameters and len(str(case.path_parameters["key"])) % 2:
                        case.path_parameters["key"] = SHARED_KEY
                    answer = call(case, base_url, session)
                    counts[f"{case.method} {case.path}", answer.status_code] += 1
                    case.validate_response(answer, checks=CHECKS)
                    check_headers(case, answer)

                fill_shared_key(session, base_url, siblings=1 + MODES.index(mode))
                try:
                    check()
                except Exception as error:
                    error.add_note(f"replay: --rng-seed {rng_seed} --rounds 1 --examples {examples}")
                    raise
    return counts


def call(case: Case[Any], base_url: str, session: requests.Session) -> Response:
    """The answer to one request; of one that has no end, what came first."""
    wanted = case.as_transport_kwargs(base_url=base_url)
    raw = session.request(**wanted, timeout=TIMEOUT_S, stream=True)
    if raw.headers.get("Content-Type") == MEDIA and case.method != "HEAD":
        raw._content = next(raw.iter_content(None))
    else:
        assert raw.content is not None  # read to the end
    raw.close()
    return Response.from_requests(raw, verify=True)


def fill_shared_key(session: requests.Session, base_url: str, *, siblings: int) -> None:
    """Let half of the requests meet a value; of an ``mv`` key, one in one mode and two in the other."""
    for kind in ("kv", "mv"):
        url = f"{base_url}/v1/{kind}/{SHARED_KEY}"
        session.delete(url, timeout=TIMEOUT_S)
        for number in range(siblings):
            session.put(url, data=f"{number}", headers={"Content-Type": "text/plain"}, timeout=TIMEOUT_S)


def check_headers(case: Case[Any], answer: Response) -> None:
    """No header that the document does not name for this status."""
    responses = case.operation.definition.raw["responses"]
    named = {name.lower() for name in responses[str(answer.status_code)]["headers"]}
    unknown = {name.lower() for name in answer.headers} - named - OF_THE_CONNECTION
    assert not unknown, f"{case.method} {case.path} {answer.status_code} has undocumented headers {unknown}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the HTTP API of a node.")
    parser.add_argument("--seconds", type=float, default=1_200, help="begin no round later (default 1200)")
    parser.add_argument("--rounds", type=int, default=1_000_000, help="rounds at most")
    parser.add_argument("--examples", type=int, default=50, help="requests an operation and mode in a round")
    parser.add_argument("--rng-seed", type=int, default=int(time.time()), help="of the first round")
    arguments = parser.parse_args()
    began_s, counts = time.monotonic(), Counts()
    with LocalCluster(1, flags=("--allow-faults",)) as cluster:
        node = cluster.nodes[0]
        cluster.start()
        cluster.wait_ready()
        memory = MemoryWatch(node)
        for number in range(arguments.rounds):
            if time.monotonic() - began_s > arguments.seconds:
                break
            rng_seed = arguments.rng_seed + number
            counts += fuzz(node.url, examples=arguments.examples, rng_seed=rng_seed, without=(LEAVE,))
            node.check_alive()
            memory.look(f"{counts.total():,} requests")
        print(memory)
    for (operation, status), count in sorted(counts.items()):
        print(f"{operation:32} {status} {count:8,}")
    took_s = time.monotonic() - began_s
    print(f"{counts.total():,} requests in {took_s:.0f} s, no violation; seeds from {arguments.rng_seed}")


if __name__ == "__main__":
    main()
