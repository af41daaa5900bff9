"""Which checkpoints exist? Give me one."""
