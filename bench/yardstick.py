"""Bare aiohttp handlers over a dict: what HTTP alone costs in this language, with nothing behind it.

python bench/yardstick.py application|server HOST PORT
"""

import asyncio
import sys

import uvloop
from aiohttp import web

values: dict[str, bytes] = {}


async def answer(request: web.BaseRequest) -> web.Response:
    if request.method == "PUT":
        values[request.path] = await request.read()
        return web.Response(status=204)
    return web.Response(body=values.get(request.path, b"v" * 100))


async def main(kind: str, host: str, port: int) -> None:
    application = web.Application()
    application.router.add_route("*", "/{key:.*}", answer)
    if kind == "application":
        runner: web.AppRunner | web.ServerRunner = web.AppRunner(application, access_log=None)
    else:
        runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
