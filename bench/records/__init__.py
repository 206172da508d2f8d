"""Records as types, free of torch: a cell's identity, a record, and what each kind of measurement puts into one."""
