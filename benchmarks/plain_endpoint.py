"""A FastAPI application that does nothing but answer: what the framework costs by itself.

`python -m benchmarks.plain_endpoint PORT`
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel


class Side(BaseModel):
    template_id: str


class Comparison(BaseModel):
    reference: Side
    probe: Side
    operating_point: str | None = None


class Verdict(BaseModel):
    decision: str
    band: str
    operating_point: str
    threshold: float
    fmr: float
    llr: float
    fingerprint: str


app = FastAPI()


@app.post("/compare")
async def compare(comparison: Comparison) -> Verdict:
    return Verdict(
        decision="match",
        band="high",
        operating_point=comparison.operating_point or "fmr_1e-4",
        threshold=0.4,
        fmr=1e-4,
        llr=7.5,
        fingerprint="0" * 32,
    )


@app.post("/upload")
async def upload(request: Request) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@contextmanager
def running_plain_endpoint() -> Iterator[int]:
    """Its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.plain_endpoint", str(port)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, "the plain endpoint does not start"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
