"""A Core ML network as data."""
