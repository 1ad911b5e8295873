"""Simulated callers as tests for agents: a callee, the line it calls on, and what is expected of the agent."""
