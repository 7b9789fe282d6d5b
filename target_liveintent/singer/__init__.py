"""Singer's side: messages in, and the SDK's stream maps."""
