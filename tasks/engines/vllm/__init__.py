"""vLLM in separate processes."""
