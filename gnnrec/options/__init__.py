"""From the words of a config to checked arguments."""
