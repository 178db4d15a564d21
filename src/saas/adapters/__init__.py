"""One folder or file for each outside thing; adapters do not know one another."""
