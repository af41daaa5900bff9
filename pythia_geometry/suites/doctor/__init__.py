"""Which steps of a run can be trusted."""
