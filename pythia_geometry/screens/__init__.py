"""What the user sees in the terminal: one file a command, which prints and decides nothing."""
