"""What takes features from videos: the choice of an extractor, checks for any, and one for tests."""
