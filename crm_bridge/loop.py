"""The loop around the reader: hears the news, reads on, rests a little so that the news of one moment make one page."""

from __future__ import annotations

import asyncio

import structlog

from broker import metrics
from broker.errors import LeaseLost, SendError, StoreError, Unavailable
from broker.ports import Bell, Transport
from crm_bridge.reader import Reader

log = structlog.get_logger(__name__)

REST_SECONDS = 0.5
"""Between two pages that were not full: the CRM may be a moment late, the disk is everybody's."""
SWEEP_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 60.0


class Loop:
    """Steps the reader until cancelled. A store or CRM that refuses is asked again later; nothing is skipped meanwhile."""

    def __init__(
        self,
        reader: Reader,
        transport: Transport,
        *,
        rest_seconds: float = REST_SECONDS,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._reader = reader
        self._transport = transport
        self._rest_seconds = rest_seconds
        self._sweep_seconds = sweep_seconds
        self._rung = asyncio.Event()

    async def run(self) -> None:
        """Go on until cancelled."""
        stop = self._transport.listen(Bell.NEWS, lambda _: self._rung.set())
        failures = 0
        try:
            while True:
                try:
                    self._rung.clear()
                    rows = await self._reader.step()
                except LeaseLost:
                    raise
                except (StoreError, SendError) as error:
                    failures += 1
                    log.warning("crm_waits", problem=str(error), failures=failures)
                    await asyncio.sleep(self._back_off(error, failures))
                except Exception:
                    failures += 1
                    metrics.unexpected_errors_total.labels("crm").inc()
                    log.exception("crm_step_failed", failures=failures)
                    await asyncio.sleep(self._back_off(None, failures))
                else:
                    failures = 0
                    await self._rest(rows)
        finally:
            stop()

    async def _rest(self, rows: int) -> None:
        if rows >= self._reader.most:
            return
        if rows == 0:
            try:
                async with asyncio.timeout(self._sweep_seconds):
                    await self._rung.wait()
            except TimeoutError:
                return
        await asyncio.sleep(self._rest_seconds)

    def _back_off(self, error: Exception | None, failures: int) -> float:
        if isinstance(error, Unavailable) and error.retry_after is not None:
            return error.retry_after
        return min(BACKOFF_MAX_SECONDS, self._sweep_seconds * 2.0 ** min(failures - 1, 10))
