"""Fakes only tests want; the others are in `saas.adapters.memory`."""


class PlainPasswords:
    """Hashes that take no time, and a note of every one made and every comparison."""

    def __init__(self) -> None:
        self.hashed: list[str] = []
        self.compared: list[str | None] = []

    async def hash(self, password: str) -> str:
        self.hashed.append(password)
        return f"plain:{password}"

    async def matches(self, password: str, stored: str | None) -> bool:
        self.compared.append(stored)
        return stored == f"plain:{password}"
