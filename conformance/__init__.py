"""The data of the conformance kit, and the scripts that make it; what runs it is refquant.conformance."""
