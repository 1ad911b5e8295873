"""What was used: calls, answered seconds and cost by day and project."""
