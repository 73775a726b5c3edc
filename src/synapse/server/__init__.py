"""The ports: thin adapters that decode, submit, follow the events, and encode."""
