"""What commands print, how far long work is, and where they may write."""
