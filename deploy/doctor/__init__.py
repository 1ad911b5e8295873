"""`make doctor`: asks every hop of a call, from the settings to the trunks, and names the one that is broken."""
