"""Bills as they are issued. Run: METER_BOOTSTRAP_SERVERS=host:9092 python consumer.py; needs confluent-kafka."""

import json
import os

from confluent_kafka import Consumer

settings = {
    "bootstrap.servers": os.environ["METER_BOOTSTRAP_SERVERS"],
    "group.id": "billing",
    "enable.auto.commit": False,
}
consumer = Consumer(settings | {"isolation.level": "read_committed", "auto.offset.reset": "earliest"})
consumer.subscribe([os.environ.get("METER_TOPIC_PREFIX", "") + "billing.bills"])
while True:
    message = consumer.poll(1.0)
    if message is not None and not message.error():
        bill = json.loads(message.value())  # money is text: Decimal(bill["payable"]), never float
        print(bill["bill_id"], bill["account_id"], bill["payable"], flush=True)  # keep by bill_id: it may come again
        consumer.commit(message, asynchronous=False)
