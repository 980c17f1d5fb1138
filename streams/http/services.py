"""What the handlers of one process share: settings, store, the way to Kafka, who may come in, commands on their way."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from streams.http.access import Access
from streams.http.kafka import KafkaConnection
from streams.http.parties import PartiesFile
from streams.http.placing import CommandPlacer
from streams.http.proofs import Proofs
from streams.http.sessions import Sessions
from streams.http.shares import Shares
from streams.http.store import Store
from streams.http.turns import Turns
from streams.settings import Settings


@dataclass(frozen=True)
class Services:
    """All of it, as `request.app.state.services`."""

    settings: Settings
    store: Store
    log: KafkaConnection
    access: Access
    sessions: Sessions
    desk: CommandPlacer
    turns: Turns
    shares: Shares
    proofs: Proofs
    parties: PartiesFile


def services(request: Request) -> Services:
    """Dependency: the services of this process."""
    found: Services = request.app.state.services
    return found


AllServices = Annotated[Services, Depends(services)]
