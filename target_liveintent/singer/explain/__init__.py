"""What --explain finds out and prints."""
