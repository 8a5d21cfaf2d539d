"""What encoders are worth: zero-shot answers, probes, retrieval, their intervals, and how they are shown."""
