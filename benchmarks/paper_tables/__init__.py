"""The cells, figures and layout of the paper's tables."""
