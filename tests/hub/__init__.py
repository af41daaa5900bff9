"""A local Hugging Face Hub: the real client talks to it over HTTP, no machine needs the internet.

One idea per file:

- ``repository``: what a repository holds (branches, commits, files).
- ``listing``: how the Hub describes a repository in JSON.
- ``api``: which request gets which answer.
- ``faults`` and ``bandwidth``: how an answer goes wrong, or goes slowly.
- ``log``: what was asked and what was sent.
- ``server``: the HTTP server that joins them, ``LocalHub``.
- ``checkpoints`` and ``suite``: model checkpoints in the Pythia layout, and a repository of steps.
- ``environment``: the variables that point a client process at the local Hub.

By hand: ``python -m tests.hub --help``.
"""
