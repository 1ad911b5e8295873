"""SIP trunks: what users tell about them, and how workers take them into use."""
