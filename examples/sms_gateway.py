"""An SMS gateway for notices: takes webhooks of the meter, verifies them, and sends each notice once.

    meter webhooks add http://127.0.0.1:8080/meter --events notice
    WEBHOOK_SECRET=whsec_... python sms_gateway.py 8080

Needs standardwebhooks. `send` is where your provider's API goes.
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BYTES = 1_000_000
TEXTS = {
    "arrears": "Bill {bill_id}: {owed} CNY are missing. Your service stops at {deadline}.",
    "stopped": "Your service has stopped: {owed} CNY are missing.",
    "restored": "Your service works again.",
    "low_balance": "Your balance is {balance} CNY.",
}

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
sent = sqlite3.connect(os.environ.get("SMS_SENT", "sent.sqlite"))
sent.execute("CREATE TABLE IF NOT EXISTS sent (id TEXT PRIMARY KEY)")


def send(account_id: str, text: str) -> None:
    """Send a message to the customer of an account."""
    print(f"SMS to {account_id}: {text}", flush=True)


class Gateway(BaseHTTPRequestHandler):
    """Answers 204 when a notice was sent, now or before; with anything else the meter tries again."""

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        try:
            notice = webhook.verify(self.rfile.read(max(0, min(length, MAX_BYTES))), dict(self.headers.items()))["data"]
        except (WebhookVerificationError, ValueError):
            return self.answer(401)
        with sent:  # if sending fails, the id is not kept, and the meter's next attempt sends
            if sent.execute("INSERT OR IGNORE INTO sent VALUES (?)", [self.headers["webhook-id"]]).rowcount:
                text = TEXTS.get(notice["kind"], json.dumps(notice))
                send(notice["account_id"], text.format_map({"deadline": "a date to be agreed", **notice}))
        return self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """What is sent is said by `send`."""


with HTTPServer(("127.0.0.1", int(sys.argv[1])), Gateway) as server:
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
