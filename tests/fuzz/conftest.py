"""A target to start as a process, and an API that accepts everything."""

from integration_fixtures import forks, server, to_server

__all__ = ["forks", "server", "to_server"]
