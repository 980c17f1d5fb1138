"""Kafka's storage in the data directory: is it one that this Kafka may open, and the making of a new one."""

import base64
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO

from streams.broker.child import run
from streams.broker.config import SETTINGS, Files, java_command
from streams.broker.errors import BrokerError
from streams.errors import NoRoomError
from streams.process import locks
from streams.process.private import append, make_folder

META_VERSION = "1"
#: A new meter takes 7 MiB before its first record, and a start writes anew what it has recovered.
NEEDED_BYTES = 16 << 20


def cluster_id(files: Files) -> str:
    """The id in meta.properties, by which a broker is known to be the one of this data directory.

    Raises BrokerError when the file cannot be read or is not one that this node wrote.
    """
    try:
        lines = files.meta.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"{files.meta} cannot be read: {error}") from error
    entries = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    if (entries.get("version"), entries.get("node.id")) != (META_VERSION, str(files.node_id)) or not entries.get(
        "cluster.id"
    ):
        raise BrokerError(f"{files.meta} is damaged or another Kafka's: restore it, or choose another --data-dir")
    return entries["cluster.id"]


def claim(files: Files) -> IO[bytes] | None:
    """Take the storage for one Kafka: a locked file that its process is to inherit. None while another one runs.

    Kafka's own lock comes too late: a second broker writes to the cluster metadata before it finds the lock taken.
    """
    make_folder(files.claim.parent)
    file = append(files.claim)
    if not locks.take(file):
        file.close()
        return None
    return file


def is_claimed(files: Files) -> bool:
    """Whether a Kafka has this very storage. One that was copied while its Kafka ran has nobody's claim."""
    with suppress(OSError):
        return locks.is_taken(files.claim)
    return False


def check(files: Files, kafka: str) -> None:
    """Refuse storage that Kafka `kafka` (such as 4.3.1) must not open, and a full disk.

    Raises BrokerError, and NoRoomError: Kafka would say it with a trace of Java's, or end midway.
    """
    _check_room(files.root)
    if files.meta.exists():
        cluster_id(files)
    elif files.records.is_dir() and any(entry.is_dir() for entry in files.records.iterdir()):
        raise BrokerError(
            f"{files.records} holds records but no {files.meta.name}: restore it, or choose another --data-dir"
        )
    if files.version.exists():
        _check_version(files.version, kafka)


def _check_room(folder: Path) -> None:
    disk = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if (free := shutil.disk_usage(disk).free) < NEEDED_BYTES:
        raise NoRoomError(
            f"no room for Kafka in {folder}: {NEEDED_BYTES:,} bytes are needed, {free:,} are free; make room"
        )


def _check_version(file: Path, kafka: str) -> None:
    last = file.read_text("utf-8").strip()
    try:
        newer = _number(last) > _number(kafka)
    except ValueError:
        raise BrokerError(f"{file} is damaged: {last!r} is not a Kafka version") from None
    if newer:
        raise BrokerError(
            f"{file.parent} was written by Kafka {last}, newer than this one ({kafka}): choose another --data-dir"
        )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def new_cluster_id() -> str:
    """As Kafka makes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def format_storage(
    files: Files, jars: list[Path], options: list[str], timeout_s: float, claim: int, cluster: str
) -> None:
    """Give new storage a cluster id and this Kafka's feature levels, with Kafka's own tool. Raises BrokerError."""
    arguments = ["format", "--config", SETTINGS, f"--cluster-id={cluster}"]
    command = java_command(files, jars, "kafka.tools.StorageTool", *arguments, extra=options)
    if not run(command, files.console, files.root, timeout_s, claim=claim):
        raise BrokerError(f"Kafka could not format its storage in {files.records}: see {files.console}")
