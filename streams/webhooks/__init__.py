"""Webhooks: bills, notices and service changes as signed HTTP requests (Standard Webhooks), at least once.

    topics --reading--> webhook_delivery --sending--> receivers
             positions and deliveries in      attempts, then the dead list
             one SQL transaction

In the order of the flow: `events` makes a message of a record, `endpoints` knows who wants it, `reading` puts it down,
`queue` says which is next and what became of it, `sending` signs and posts it, `run` keeps all of it going.
"""
