"""The parent of all targets of the campaigns, and the API that they send to."""

from integration_fixtures import forks, server, to_server

__all__ = ["forks", "server", "to_server"]
