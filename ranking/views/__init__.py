"""Parts that every view of the log shares: the loop that keeps it, the log's records, applied offsets, content
hashes.
"""
