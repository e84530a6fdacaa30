"""The same bytes everywhere: on every Python, machine, protobuf, locale, hash seed and number of jobs."""
