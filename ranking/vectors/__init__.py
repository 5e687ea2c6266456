"""The vector view: embedding spaces, similarity search, and snapshots of them on disk."""
