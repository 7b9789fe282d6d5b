"""Singer's side: messages in, STATE out, signals, and the commands that read an input."""
