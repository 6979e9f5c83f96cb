"""Decoders of the Llama, Qwen2, Qwen3, OLMo-2 and Gemma 3 families: configurations, layers, weights, and where models
are found."""
