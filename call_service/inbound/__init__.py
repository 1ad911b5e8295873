"""Calls that come in: who answers them, and what becomes of those that nobody does."""
