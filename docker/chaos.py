"""Cut a running cluster in two again and again, write on both sides, heal, and check that all nodes converge.

    chaos.py [--rounds N] [--cut-s S] [--rng-seed N] URL...

Each URL is one node's, started with ``--allow-faults``: it cuts itself off by ``/v1/faults``, so this works
without rights on the machine, and wherever nodes run. One line a round; the first names the seed that replays
the choices. Ends with 0 after the rounds, or with 1 if the nodes differ ``CONVERGE_TIMEOUT_S`` after
a heal, or if what is read is not what was written.
"""

import argparse
import json
import random
import sys
import time
from urllib.error import URLError
from urllib.request import Request, urlopen

CONVERGE_TIMEOUT_S = 60.0
KEYS_A_SIDE = 20
POLL_S = 0.1


class Node:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.name = ""

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = Request(self.url + path, data=body, method=method)
        with urlopen(request, timeout=10.0) as answer:
            return bytes(answer.read())

    def root(self) -> str:
        return str(json.loads(self.request("GET", "/v1/status"))["root"])

    def wait_ready(self) -> None:
        while True:
            try:
                self.name = json.loads(self.request("GET", "/v1/status"))["node"]
                return
            except (URLError, OSError):
                time.sleep(POLL_S)

    def cut_off(self, others: "list[Node]") -> None:
        names = [other.name for other in others]
        self.request("POST", "/v1/faults", json.dumps({"drop_to": names, "drop_from": names}).encode())

    def heal(self) -> None:
        self.request("DELETE", "/v1/faults")


def run_round(nodes: list[Node], number: int, cut_s: float, rng: random.Random) -> str:
    """Returns what to say of it. Raises ``AssertionError`` if the nodes do not agree in the end."""
    size = rng.randint(1, len(nodes) - 1)
    one = rng.sample(nodes, size)
    two = [node for node in nodes if node not in one]
    expected: dict[str, bytes] = {}
    for side, others in ((one, two), (two, one)):
        for node in side:
            node.cut_off(others)
    for mark, side in (("a", one), ("b", two)):
        for index in range(KEYS_A_SIDE):
            key = f"/v1/kv/chaos/{number}/{mark}/{index}"
            expected[key] = f"{mark}{index} of round {number}".encode()
            rng.choice(side).request("PUT", key, expected[key])
            rng.choice(side).request("PUT", f"/v1/kv/chaos/both/{index}", expected[key])
    time.sleep(cut_s)
    for node in nodes:
        node.heal()
    healed_s = time.monotonic()
    while len({node.root() for node in nodes}) > 1:
        assert time.monotonic() - healed_s < CONVERGE_TIMEOUT_S, "the nodes hold different data"
        time.sleep(POLL_S)
    taken_s = time.monotonic() - healed_s
    for key, value in expected.items():
        found = rng.choice(nodes).request("GET", key)
        assert found == value, f"{key} reads as {found!r}, not {value!r}"
    sides = " | ".join(" ".join(sorted(node.name for node in side)) for side in (one, two))
    return f"round {number}: cut {sides}, {len(expected)} keys, converged {taken_s:.2f} s after the heal"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("urls", metavar="URL", nargs="+")
    parser.add_argument("--rounds", type=int, help="(default: for ever)")
    parser.add_argument("--cut-s", type=float, default=5.0, help="how long a cut lasts (default: 5)")
    parser.add_argument(
        "--rng-seed", type=int, default=random.randrange(1 << 32), help="(default: a new one)"
    )
    options = parser.parse_args()
    if len(options.urls) < 2:
        parser.error("a cluster of one cannot be cut")
    print(f"chaos: --rng-seed {options.rng_seed}", flush=True)
    rng = random.Random(options.rng_seed)
    nodes = [Node(url) for url in options.urls]
    for node in nodes:
        node.wait_ready()
    number = 0
    while options.rounds is None or number < options.rounds:
        number += 1
        try:
            print(run_round(nodes, number, options.cut_s, rng), flush=True)
        except (AssertionError, URLError, OSError) as error:
            print(f"round {number}: {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
