"""The live channel: one room for each organisation, each event encoded once and written to all who listen."""
