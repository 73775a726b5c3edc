"""What Synapse talks about: frozen data and plain functions, no I/O. Every layer above speaks in these words."""
