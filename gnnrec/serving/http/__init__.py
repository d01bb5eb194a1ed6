"""A model behind HTTP: users, events, lists, models in service, metrics, a page to try it."""
