"""Other people's data as data sets of ours, one format to a module."""
