"""Search algorithms as generators without I/O: one file each."""
