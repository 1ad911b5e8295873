"""How many calls may be live, and when the next may begin, for each tenant and each trunk."""
