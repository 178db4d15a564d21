"""One folder or file for each external system; adapters do not import one another."""
