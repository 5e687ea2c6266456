"""Videos on disk: their feature files, their uploads, and pictures of what was seen in them."""
