"""Questions to the pages that processes of this machine serve, past any proxy that the environment names."""

from typing import IO
from urllib.request import ProxyHandler, build_opener

_opener = build_opener(ProxyHandler({}))


def open_page(url: str, timeout_s: float) -> IO[bytes]:
    """The answer to a GET. Raises OSError (HTTPError for 4xx and 5xx) and http.client.HTTPException."""
    answer: IO[bytes] = _opener.open(url, timeout=timeout_s)
    return answer
