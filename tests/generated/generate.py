"""`python generate.py DESCRIPTION FOLDER`: a client of an OpenAPI document, by openapi-python-client."""

import sys
from pathlib import Path

from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType


def main() -> None:
    """End with 1 where something could not be made of the document, and say what."""
    description, folder = map(Path, sys.argv[1:])
    config = Config.from_sources(
        ConfigFile(post_hooks=[]),
        MetaType.NONE,
        document_source=description,
        file_encoding="utf-8",
        overwrite=True,
        output_path=folder,
    )
    sys.exit("\n".join(f"{error.header} {error.detail or ''}" for error in generate(config=config)) or None)


main()
