"""Ends with 0 when the process on this port of the container is ready: `python healthcheck.py 8000`."""

from __future__ import annotations

import sys
import urllib.request

_TIMEOUT_S = 3.0


def main() -> int:
    # Without the proxies of the environment: the process is in this container.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{int(sys.argv[1])}/health/ready", timeout=_TIMEOUT_S):
            return 0
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
