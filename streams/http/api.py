"""The API below /v1, and what is asked about the process itself: the routes."""

from fastapi import FastAPI

from streams.http import (
    accounts,
    bills,
    commands,
    corrections,
    figures,
    ingest,
    rejects,
    system,
    token_routes,
    webhook_routes,
)
from streams.http.answers import Age

#: In the order in which the description has them.
MODULES = (ingest, accounts, bills, rejects, figures, commands, corrections, token_routes, webhook_routes, system)


def install(app: FastAPI) -> None:
    """Add the API's routes and their description."""
    app.state.age = Age()
    for module in MODULES:
        app.include_router(module.router)
