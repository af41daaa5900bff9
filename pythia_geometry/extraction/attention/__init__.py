"""What attention is read and edited by: the kernel, patterns, marked prompts, heads switched off or put elsewhere."""
