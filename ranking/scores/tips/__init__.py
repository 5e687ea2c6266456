"""Dance tips: how strongly each joint moves the scores of a challenge (Eq. 8 and 9), as sums that clips add to."""
