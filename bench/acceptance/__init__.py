"""Runs that show whether a pool of keys is used as its quotas allow: each against real processes and real callers."""
