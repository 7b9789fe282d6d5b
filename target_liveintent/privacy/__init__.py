"""What keeps addresses, tokens and people out of where they must not be."""
