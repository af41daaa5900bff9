"""The only place where suites, probes, measures and the store meet."""
