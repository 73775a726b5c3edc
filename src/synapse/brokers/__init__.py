"""Where tasks wait, who holds them, and the log of what happened to each."""
