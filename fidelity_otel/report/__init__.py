"""The lead's page, data sets, the pytest plugin."""
