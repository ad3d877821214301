"""The real world around a replica: asyncio, sockets, threads, the clock."""
