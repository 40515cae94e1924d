"""Search algorithms as generators without input or output: one file each."""
