"""Notes the results of a stream and its first records, and describes them."""
