"""The wire between a board and the host, and a board made of software. A leaf: the standard library and numpy only.

`PROTOCOL.md` beside this package is the contract, `vectors.json` its test vectors; `codec` speaks it, `emulator` is the other end.
"""
