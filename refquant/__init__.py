"""refquant: the reference implementation of Core ML weight quantization."""
