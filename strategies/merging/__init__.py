"""Models trained apart become one."""
