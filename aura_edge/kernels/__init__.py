"""CUDA kernels for the encoders, a ladder from plain to fused, each rung proven before it is timed; and an emulator that runs them on a CPU.

A kernel's body is one source for nvcc and for g++: it speaks to the machine through some twenty primitives, which `primitives.cuh` writes as PTX and
`emulator/primitives.hpp` as rendezvous of fibres.
"""
