"""How metering's facts are written for others."""
