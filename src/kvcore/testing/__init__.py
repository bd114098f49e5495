"""For tests: the pytest plugin (fixtures `kvcore`, `kvcore_server`, `kvcore_url`) is in kvcore.testing.plugin."""
