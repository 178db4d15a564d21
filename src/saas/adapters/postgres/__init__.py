"""PostgreSQL: repositories for commands, single statements for reads, and tenants kept apart by row-level security."""
