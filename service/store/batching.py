"""A Redis client that sends commands together, when several want to be sent at one time.

Most of what a command costs a process is the call to the system and the turns of the event loop around it, not the
command. Whatever is to be sent in one turn goes out at once, over one connection; what comes while that is under way
goes out together after it. A server that does not answer at once gets another connection for what waits, so that
nothing waits for longer than it would with a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

_PATIENCE_S = 0.002
"""How long commands wait for those under way before another connection is opened for them."""


@dataclass(frozen=True, slots=True)
class _Command:
    words: tuple[Any, ...]
    answer: asyncio.Future[Any]


class BatchingRedis(Redis):
    """For one event loop. Pipelines and transactions take a connection of the pool for themselves, as ever.

    A command has the pool's `socket_timeout` for its answer. One that a connection broke under is sent once more over
    a new one, if the connection had been good before.
    """

    def __init__(self, pool: BlockingConnectionPool) -> None:
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self._timeout_s: float | None = pool.connection_kwargs["socket_timeout"]
        self._most_lines: int = pool.max_connections
        self._queue: list[_Command] = []
        self._spare: list[AbstractConnection] = []
        self._lines: set[asyncio.Task[None]] = set()
        self._relief: asyncio.TimerHandle | None = None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if options.keys() - {"keys"}:
            # What its answer needs is known there.
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        loop = asyncio.get_running_loop()
        command = _Command(args, loop.create_future())
        self._queue.append(command)
        if not self._lines:
            self._open_line()
        elif self._relief is None:
            self._relief = loop.call_later(_PATIENCE_S, self._relieve)
        answer = await command.answer
        read = self.response_callbacks.get(args[0])
        return answer if read is None else read(answer)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        for line in tuple(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)
        if self._relief is not None:
            self._relief.cancel()
        for connection in self._spare:
            await connection.disconnect()
        self._spare.clear()
        await super().aclose(close_connection_pool)

    def _new_connection(self) -> AbstractConnection:
        connection: AbstractConnection = self.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    def _open_line(self) -> None:
        self._lines.add(asyncio.create_task(self._send_queued()))

    def _relieve(self) -> None:
        self._relief = None
        if self._queue and len(self._lines) < self._most_lines:
            self._open_line()

    async def _send_queued(self) -> None:
        """Over one connection, until nothing waits."""
        connection = self._spare.pop() if self._spare else self._new_connection()
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                try:
                    await self._send(connection, batch)
                finally:
                    _fail(batch, RedisConnectionError("The client was closed."))
        finally:
            self._spare.append(connection)
            # Now, not when the loop comes to it: what is queued from here on needs another line.
            self._lines.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send(self, connection: AbstractConnection, batch: Sequence[_Command]) -> None:
        try:
            answers = await self._exchange(connection, [command.words for command in batch])
        except Exception as error:  # noqa: BLE001 (whoever waits for the answers gets it)
            _fail(batch, error)
            await connection.disconnect(nowait=True)
            return
        for command, answer in zip(batch, answers, strict=True):
            if command.answer.done():
                continue  # nobody waits for it any more
            if isinstance(answer, ResponseError):
                command.answer.set_exception(answer)
            else:
                command.answer.set_result(answer)

    async def _exchange(self, connection: AbstractConnection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if connection.is_connected:
            try:
                return await self._ask(connection, commands)
            except RedisConnectionError:
                await connection.disconnect(nowait=True)
        connection.socket_timeout = self._timeout_s
        # Once: trying a server again that just did not take the connection would take twice the time.
        await connection.connect_check_health(retry_socket_connect=False)
        connection.socket_timeout = None  # one limit for all answers, below
        return await self._ask(connection, commands)

    async def _ask(self, connection: AbstractConnection, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.send_packed_command(connection.pack_commands(commands))
                return [await _read(connection) for _ in commands]
        except TimeoutError as error:
            raise RedisTimeoutError("The server does not answer.") from error


async def _read(connection: AbstractConnection) -> Any:
    """An answer; an error of the one command is an answer too."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _fail(batch: Sequence[_Command], error: Exception) -> None:
    for command in batch:
        if not command.answer.done():
            command.answer.set_exception(error)
