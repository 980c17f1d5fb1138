"""The port of the embedded Kafka, as commands take it."""

from typing import Annotated

import typer

DEFAULT_PORT = 19092

Port = Annotated[int, typer.Option(min=0, max=65535, help="Of the embedded Kafka; 0: any free one.")]
