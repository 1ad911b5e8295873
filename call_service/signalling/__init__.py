"""The SIP messages of calls, for whoever must find out what went wrong: kept with the call, shown, and as a capture."""
