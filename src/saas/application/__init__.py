"""Use cases, one verb each: they sequence what entities decide, and own the transaction it happens in."""
