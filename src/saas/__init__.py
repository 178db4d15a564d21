"""A self-hosted multi-tenant SaaS backend: organisations, people, seats, a feed and a live channel."""
