"""Tools about the specification: which rule is named where. They work in a checkout, where spec/ is."""
