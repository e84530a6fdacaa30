"""What .ci/release.py builds: the same bytes for everyone, whole, and of use where nothing is installed."""
