"""Makes encoders: data stores, objectives, the training loop and zero-shot evaluation. Needs torch."""
