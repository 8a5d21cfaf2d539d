"""Rung 2 inside TensorRT, for those who have measured it to be faster than TensorRT's own fusion, which stays the default.

Two ways to the same node `aura::FusedMHA` of the graph: a library in C++ (`CMakeLists.txt`), for engines that are built and run without Python, and
`decorated.py`, which needs TensorRT 10.9 and a compiler only while an engine is built.
"""
