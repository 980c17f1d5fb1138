"""What must hold in every step. These checks stay on in production: a step that breaks one is never committed."""


class InvariantError(Exception):
    """Something that must hold does not: a bug, or damaged memory. The process must end; nothing was committed."""


def must(holds: bool, *broken: object) -> None:
    """Raises InvariantError with these words where something does not hold."""
    if not holds:
        raise InvariantError(" ".join(map(str, broken)))
