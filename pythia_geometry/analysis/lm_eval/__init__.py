"""Behaviour curves from EleutherAI's lm-evaluation-harness: anyone's results, their items, and the published ones."""

from pythia_geometry.analysis.lm_eval.results import read_results

__all__ = ["read_results"]
