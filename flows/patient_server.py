"""An HTTP server that costs next to nothing while nobody asks."""

import asyncio

import uvicorn

TICK_SECONDS = 1.0


class PatientServer(uvicorn.Server):
    """Uvicorn's server, which wakes once a second and not ten times; it obeys a signal to stop within that second."""

    async def main_loop(self) -> None:
        """Keep the `Date` header right until the server is to stop."""
        while not await self.on_tick(0):  # noqa: ASYNC110  # a signal sets no event
            await asyncio.sleep(TICK_SECONDS)
