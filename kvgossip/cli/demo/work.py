"""Many requests at once, but not too many."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


async def for_all(items: Iterable[Item], do: Callable[[Item], Awaitable[None]], *, in_flight: int) -> None:
    """Do something for each item, ``in_flight`` at a time. Raises the first error; the rest is given up."""
    remaining = iter(items)

    async def work() -> None:
        for item in remaining:
            await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
