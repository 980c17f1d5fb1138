"""Text as people may look at it, and files that are not what was asked for."""
