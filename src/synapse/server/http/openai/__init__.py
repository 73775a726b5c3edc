"""The port that OpenAI's clients speak, under `/v1`."""
