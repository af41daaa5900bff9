"""How a checkpoint on disk or at the Hub becomes a model in memory: configs, weight files, the built model."""
