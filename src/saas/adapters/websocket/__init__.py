"""The live channel: one room for each organisation; each event is encoded once and written to all sockets in it."""
