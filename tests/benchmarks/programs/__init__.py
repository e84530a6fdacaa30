"""Scripts that run in a process of their own and are measured as a whole."""
