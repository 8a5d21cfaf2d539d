"""Measures everything, interleaved and with the machine's facts."""
