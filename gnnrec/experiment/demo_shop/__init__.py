"""The demo shop: the test users of a finished run as newcomers of a running service."""
