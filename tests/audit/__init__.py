"""Known faults of the packages that are pinned: `make audit`."""
