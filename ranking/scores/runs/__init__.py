"""Counts beside the rows: sorted runs of scores, from which ranks, percentiles and means are computed in O(log n)."""
