"""The end of the demo: every key through every node, compared with what it must be."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from kvgossip.cli.demo.client import REQUESTS_IN_FLIGHT, NodeClient
from kvgossip.cli.demo.ledger import Expected, Ledger
from kvgossip.cli.demo.work import for_all


@dataclass(slots=True)
class Proof:
    """What was read, and the differences in order of node and key."""

    read_count: int = 0
    read_bytes: int = 0
    deleted_count: int = 0
    differences: list[str] = field(default_factory=list)


async def compare_all(clients: Sequence[NodeClient], ledger: Ledger) -> Proof:
    proof = Proof()
    expected = {key: ledger.expected(key) for key in ledger.all_keys()}
    for client in clients:

        async def compare(key: str, client: NodeClient = client) -> None:
            await _compare(client, key, expected[key], proof)

        await for_all(sorted(expected), compare, in_flight=REQUESTS_IN_FLIGHT)
    proof.differences.sort()
    return proof


async def _compare(client: NodeClient, key: str, expected: Expected, proof: Proof) -> None:
    answer = await client.get(key)
    proof.read_count += 1
    if answer.status == 404 and expected.digest is None:
        proof.deleted_count += 1
        return
    if answer.status != 200:
        wanted = "404" if expected.digest is None else "200"
        difference = f"status {answer.status}, but {expected.source} makes it {wanted}"
    elif expected.digest is None:
        difference = f"a value of {len(answer.body)} bytes, but {expected.source} removed it"
    else:
        proof.read_bytes += len(answer.body)
        digest = sha256(answer.body).hexdigest()
        if digest == expected.digest:
            return
        difference = f"SHA-256 {digest}, but that of {expected.source} is {expected.digest}"
    proof.differences.append(f"{client.name}: {key}: {difference}")
