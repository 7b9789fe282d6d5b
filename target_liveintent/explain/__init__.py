"""Notes what a stream and its first records become, and describes it for people and programs."""
