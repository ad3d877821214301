"""The one thread that writes to the store, so that no disk ever blocks the event loop.

The replica has at most one batch in flight, so this is a thread with a mailbox, not a pool.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic

from kvgossip.errors import OutcomeUnknownError, StoreError
from kvgossip.runtime.histogram import Histogram
from kvgossip.store.base import Batch, Store


class StoreWriter:
    """Performs ``store.write`` for each batch and calls ``report`` on the event loop when it has ended."""

    def __init__(
        self, store: Store, report: Callable[[Batch, StoreError | None], None], durations_s: Histogram
    ) -> None:
        """``durations_s`` is told how long each write took, failed ones too."""
        self._store = store
        self._durations_s = durations_s
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._mailbox: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        self._mailbox.put(batch)

    async def stop(self, timeout_s: float) -> bool:
        """End the thread after what it has been given. False if it still hangs in the disk."""
        self._mailbox.put(None)
        await asyncio.to_thread(self._thread.join, timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._mailbox.get()) is not None:
            started_s = monotonic()
            error = self._write(batch)
            self._durations_s.observe(monotonic() - started_s)
            with suppress(RuntimeError):  # the loop is closed: nobody waits for the answer
                self._loop.call_soon_threadsafe(self._report, batch, error)

    def _write(self, batch: Batch) -> StoreError | None:
        try:
            self._store.write(batch)
        except StoreError as error:
            return error
        except Exception as error:  # a bug of the store: what it did to the disk nobody knows
            return OutcomeUnknownError(f"the store failed in an unforeseen way: {error!r}")
        return None
