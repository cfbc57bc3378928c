"""Photographs for the benchmarks, and the requests that carry them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from service.cli.sample_sets import IMAGE_SUFFIXES

_BOUNDARY = b"0123456789abcdef"


def read_pictures(directory: Path, most: int) -> list[bytes]:
    """Files of the first `most` images below `directory`. Exits where there are fewer than ten."""
    paths = sorted(path for path in directory.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)[:most]
    if len(paths) < 10:
        raise SystemExit(f"{directory} holds {len(paths)} pictures; ten or more with a face each are needed.")
    return [path.read_bytes() for path in paths]


def http_request(method: str, path: str, body: bytes, content_type: str) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def json_request(path: str, body: object) -> bytes:
    return http_request("POST", path, json.dumps(body).encode(), "application/json")


@dataclass(frozen=True)
class SetRequests:
    """Sets of `size` pictures to `path`, each set one that nobody sent before: decoders ignore what stands behind the
    end of a picture."""

    pictures: tuple[bytes, ...]
    size: int
    path: str = "/v1/templates"
    mark: bytes = os.urandom(8)

    def request(self, number: int) -> bytes:
        end = self.mark + number.to_bytes(8, "big")
        parts = [
            b'--%s\r\ncontent-disposition: form-data; name="samples"; filename="p"\r\n\r\n%s%s\r\n'
            % (_BOUNDARY, self.pictures[(number * self.size + position) % len(self.pictures)], end)
            for position in range(self.size)
        ]
        body = b"".join((*parts, b"--%s--\r\n" % _BOUNDARY))
        return http_request("POST", self.path, body, f"multipart/form-data; boundary={_BOUNDARY.decode()}")


@dataclass(frozen=True)
class OneRequest:
    """The same request again and again."""

    content: bytes

    def request(self, number: int) -> bytes:
        return self.content
