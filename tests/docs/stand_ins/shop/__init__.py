"""What a page calls a reader's own shop."""
