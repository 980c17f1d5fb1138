"""A meter's processes on this machine: started, watched, and stopped."""
