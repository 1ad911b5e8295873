"""The proof that audio arrived, as `make doctor` has it."""

from deploy.doctor.sweep import correlation, sweep

__all__ = ["correlation", "sweep"]
