"""The API below /v1, and what is asked about the process itself: the routes."""

from fastapi import FastAPI

from streams.http import accounts, bills, commands, corrections, figures, ingest, rejects, system
from streams.http.answers import Age


def install(app: FastAPI) -> None:
    """Add the API's routes and their description."""
    app.state.age = Age()
    for module in (ingest, accounts, bills, rejects, figures, commands, corrections, system):
        app.include_router(module.router)
