"""Search in recordings by words or by motion: windows are embedded once and kept in an index on disk.

`windows` turns a recording into vectors on the stream's own path, `indexing` does that for many, `index` keeps them in LanceDB, `asking_for`
turns words or a clip into vectors, `ranges` merges neighbouring hits, `report` draws them.
"""
