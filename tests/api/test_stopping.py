"""While a node drains its API says so, and still answers what only reads."""

import asyncio

from tests.api.served import TIMEOUT_S, memory_node, serving


def test_a_draining_node_is_not_ready_refuses_requests_and_is_alive() -> None:
    with serving(memory_node()) as served:
        assert served.get("/readyz").status == 200
        loop = served.api._listener.get_loop()
        asyncio.run_coroutine_threadsafe(served.node.drain(), loop).result(TIMEOUT_S)
        assert served.get("/readyz").status == 503
        assert served.get("/readyz").problem == "not-ready"
        assert served.put("/v1/kv/a", b"1").status == 503
        assert served.get("/v1/kv/a").status == 503
        assert served.get("/livez").status == 200
