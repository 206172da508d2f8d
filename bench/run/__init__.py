"""Running: cells to records (runner), over processes (executors), kept in a folder (store), looked at (status)."""
