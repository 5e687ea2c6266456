"""A live FAISS index in parts: a fresh one that changes go to, and sealed segments, merged in the background."""
