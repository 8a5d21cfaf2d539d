"""The wire between a board and the host. A leaf: the standard library and numpy only."""
