"""The message classes of the Core ML format. No logic: see `refquant.schema.coreml`."""
