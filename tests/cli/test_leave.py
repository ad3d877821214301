"""Real processes: SIGTERM is a leave, SIGKILL is not, and who comes back is alive."""

import json
import signal
import time
from http.client import HTTPConnection
from pathlib import Path

from tests.cli.processes import TIMEOUT_S, command, end, free_address, read_until


def state_at(url: str, name: str) -> str | None:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=TIMEOUT_S)
    connection.request("GET", "/v1/cluster/members")
    members = json.loads(connection.getresponse().read())["members"]
    connection.close()
    return next((str(member["state"]) for member in members if member["name"] == name), None)


def wait_for(url: str, name: str, state: str) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while (seen := state_at(url, name)) != state:
        assert time.monotonic() < deadline_s, f"{name} is {seen}, not {state}"


def test_a_terminated_node_has_left_a_killed_one_is_down_and_both_come_back(tmp_path: Path) -> None:
    peer, address = free_address(), free_address()
    first_arguments = ("serve", "--listen", "127.0.0.1:0", "--peer-listen", peer, "--node", "n1")
    second_arguments = ("serve", "--listen", "127.0.0.1:0", "--peer-listen", address, "--node", "n2")
    kept = ("--seeds", peer, "--data-dir", tmp_path / "data")
    with command(*first_arguments) as first:
        url = read_until(first, "is ready").split("API ")[1].split(",")[0]
        for number, state in ((signal.SIGTERM, "left"), (signal.SIGKILL, "down")):
            with command(*second_arguments, *kept) as second:
                read_until(second, "is ready")
                wait_for(url, "n2", "alive")
                started_s = time.monotonic()
                assert end(second, number) == (0 if number is signal.SIGTERM else -number)
                assert time.monotonic() - started_s < 10
            wait_for(url, "n2", state)
