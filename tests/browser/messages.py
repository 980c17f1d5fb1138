"""`python -m tests.browser.messages`: gather the console's messages, and bring the catalogues up to them."""

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

CONSOLE = Path(__file__).parents[2] / "streams" / "http" / "console"
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
OPTIONS = {"templates/**.html": {"trimmed": "false", "silent": "false", "newstyle_gettext": "true"}}


def messages() -> Catalog:
    """All messages of templates and code, as they are now."""
    catalog = Catalog(project="recognition-meter", fuzzy=False)
    found = extract_from_dir(CONSOLE, METHODS, OPTIONS, keywords={"_": None, "gettext": None, "ngettext": (1, 2)})
    for name, line, message, comments, context in found:
        catalog.add(message, None, [(name, line)], auto_comments=comments, context=context)
    return catalog


def catalogue(language: str) -> Catalog:
    """A language's catalogue as it is kept."""
    path = CONSOLE / "locales" / language / "console.po"
    with path.open("rb") as file:
        return read_po(file, locale=language)


def main() -> None:
    """Write each catalogue again: new messages without a translation, and none that is gone."""
    for path in CONSOLE.glob("locales/*/console.po"):
        kept = catalogue(path.parent.name)
        kept.update(messages(), no_fuzzy_matching=True)
        with path.open("wb") as file:
            write_po(file, kept, width=120, omit_header=False, no_location=True, ignore_obsolete=True, sort_output=True)


if __name__ == "__main__":
    main()
