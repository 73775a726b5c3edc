"""What Anthropic's clients talk to."""
