"""`python -m tests.browser.vendor`: fetch what the console borrows from npm, in the versions named here, and keep it.

The console is served without npm and without another host, so the files are checked in, each with its licence.
"""

import hashlib
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "streams" / "http" / "console" / "static" / "vendor"

#: Package -> version, the file that is served, its name here, its licence file.
FILES = {
    "chart.js": ("4.6.1", "dist/chart.umd.min.js", "chart.js", "LICENSE.md", "MIT"),
    "htmx.org": ("2.0.11", "dist/htmx.min.js", "htmx.js", "LICENSE", "0BSD"),
}
ICONS_VERSION = "1.62.0"
ICONS = [
    "layout-dashboard",
    "users",
    "receipt-text",
    "circle-alert",
    "tags",
    "activity",
    "scroll-text",
    "log-out",
    "sun",
    "moon",
    "sun-moon",
    "languages",
    "search",
    "chevron-right",
    "chevron-left",
    "printer",
    "download",
    "shield-check",
    "rotate-ccw",
    "plus",
    "wallet",
    "bell",
    "chart-column",
    "file-text",
    "undo-2",
    "scale",
    "circle-check",
    "triangle-alert",
    "clock",
    "lock",
    "database-zap",
    "plug-zap",
    "x",
    "inbox",
    "key-round",
    "gauge",
    "info",
    "circle-x",
    "pencil",
]


def main() -> None:
    """Write the files, and a README that says what they are."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package, (version, path, target, licence, terms) in FILES.items():
            unpacked = _unpack(package, version, folder)
            rows.append(_keep(target, (unpacked / path).read_bytes(), package, version, terms))
            (VENDOR / f"{target}.LICENSE").write_bytes((unpacked / licence).read_bytes())
        unpacked = _unpack("lucide-static", ICONS_VERSION, folder)
        rows.append(_keep("icons.svg", _sprite(unpacked).encode(), "lucide-static", ICONS_VERSION, "ISC"))
        (VENDOR / "icons.svg.LICENSE").write_bytes((unpacked / "LICENSE").read_bytes())
    (VENDOR / "README.md").write_text(_readme(rows))


def _unpack(package: str, version: str, folder: Path) -> Path:
    target = folder / package
    target.mkdir()
    subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=target, check=True, timeout=120)
    (archive,) = target.glob("*.tgz")
    with tarfile.open(archive) as file:
        file.extractall(target, filter="data")
    return target / "package"


def _keep(name: str, content: bytes, package: str, version: str, terms: str) -> str:
    (VENDOR / name).write_bytes(content)
    return f"| `{name}` | {package} {version} | {terms} | `{hashlib.sha256(content).hexdigest()}` |"


def _sprite(package: Path) -> str:
    """One file with the icons that are used, each a symbol."""
    symbols = []
    for name in ICONS:
        drawing = re.search(r"<svg[^>]*>(.*)</svg>", (package / "icons" / f"{name}.svg").read_text(), re.DOTALL)
        assert drawing is not None, name
        inner = " ".join(drawing[1].split())
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{inner}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def _readme(rows: list[str]) -> str:
    head = "# Borrowed files\n\nUnchanged from their npm packages; the icons are put together into one file. "
    table = "| file | package | licence | SHA-256 |\n|---|---|---|---|\n" + "\n".join(rows)
    return f"{head}`python -m tests.browser.vendor` fetches them again.\n\n{table}\n"


if __name__ == "__main__":
    main()
