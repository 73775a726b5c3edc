"""Answers from recordings of real traffic."""
