"""Fakes only tests want; the others are in `saas.adapters.memory`."""


class PlainPasswords:
    """Hashes that take no time, and a note of every comparison."""

    def __init__(self) -> None:
        self.compared: list[str | None] = []

    async def hash(self, password: str) -> str:
        return f"plain:{password}"

    async def matches(self, password: str, stored: str | None) -> bool:
        self.compared.append(stored)
        return stored == f"plain:{password}"
