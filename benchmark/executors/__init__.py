"""Where runs run: in this process, or in worker processes on this machine."""
