"""Facts to an encoded row, rows of a table alike, and rows to the sparse features that models read; which pairs of facts belong together."""
