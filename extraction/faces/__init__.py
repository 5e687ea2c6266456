"""Faces: found, set upright and embedded, three in a second."""
