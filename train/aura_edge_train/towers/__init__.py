"""Frozen towers of other modalities than the one that is trained, and what they have already embedded."""
