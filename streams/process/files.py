"""How many files a process may have open: sockets, indexes and the store's files are some."""

import resource

#: More is of no use here.
WANTED_FILES = 16_384


def raise_file_limit() -> int:
    """Raise the limit as far as is allowed and of use. Returns how many files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return WANTED_FILES if soft == resource.RLIM_INFINITY else soft
