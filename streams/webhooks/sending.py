"""One attempt: the message is signed and posted. A receiver takes it with any status 2xx; all else is a failure."""

import asyncio
from datetime import UTC, datetime
from importlib.util import find_spec
from urllib.parse import urlsplit

from meter import __version__
from streams.errors import SettingError
from streams.webhooks.addresses import AddressError, Target, find_target
from streams.webhooks.endpoints import Endpoint
from streams.webhooks.queue import Delivery

if missing := [name for name in ("httpx", "standardwebhooks") if find_spec(name) is None]:
    raise SettingError(f"webhooks need the package {missing[0]}: pip install 'recognition-meter[webhooks]'")

import httpx
from standardwebhooks import Webhook

MAX_ANSWER_BYTES = 65_536

Client = httpx.AsyncClient


def new_client() -> Client:
    """A client for all attempts at one endpoint. Redirects are not followed: a receiver that moves is added anew."""
    # Proxies of the environment are left aside: behind one the address that is looked at is not the one reached.
    # An attempt's time is limited as a whole.
    return httpx.AsyncClient(timeout=None, follow_redirects=False, trust_env=False)


async def attempt(
    client: Client, endpoint: Endpoint, delivery: Delivery, *, timeout_s: float, private: bool
) -> str | None:
    """Post a delivery. Returns what went wrong; None: it was taken."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _post(client, endpoint, delivery, await find_target(endpoint.url, private))
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except (AddressError, httpx.HTTPError, OSError) as error:
        return str(error) or type(error).__name__


async def _post(client: Client, endpoint: Endpoint, delivery: Delivery, target: Target) -> str | None:
    headers = signed(endpoint, delivery, datetime.now(UTC))
    headers["host"] = urlsplit(endpoint.url).netloc
    async with client.stream(
        "POST",
        httpx.URL(endpoint.url).copy_with(host=target.address),
        content=delivery.payload.encode(),
        headers=headers,
        extensions={"sni_hostname": target.host},
    ) as answer:
        # The status says it all. A short body is read, so that the connection can be used again.
        received = 0
        async for part in answer.aiter_raw():
            received += len(part)
            if received > MAX_ANSWER_BYTES:
                break
        return None if answer.is_success else f"status {answer.status_code}"


def signed(endpoint: Endpoint, delivery: Delivery, now: datetime) -> dict[str, str]:
    """The headers of an attempt: what Standard Webhooks asks for."""
    now = now.replace(microsecond=0)
    return {
        "content-type": "application/json",
        "user-agent": f"recognition-meter/{__version__}",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(endpoint.secret).sign(delivery.event_id, now, delivery.payload),
    }
