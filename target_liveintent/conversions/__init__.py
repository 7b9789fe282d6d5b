"""What an event is, and how a mapped record becomes one."""
