"""PostgreSQL: repositories for the commands, single statements for the reads, and the door of row-level security."""
