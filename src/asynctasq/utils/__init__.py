"""Small public odds and ends."""
