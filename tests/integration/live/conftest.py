"""Two server processes on one database, for the tests of the live channel that do not break them."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.integration.servers import ServerProcess, serving


@pytest.fixture(scope="package")
def _pair(
    environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    folder = tmp_path_factory.mktemp("pair")
    with serving(folder / "one", environ) as one, serving(folder / "two", environ) as two:
        yield one, two


@pytest.fixture
def pair(_pair: tuple[ServerProcess, ServerProcess]) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two `saas serve`, as on two hosts; the test fails when one of them logs an error."""
    before = [len(server.output()) for server in _pair]
    yield _pair
    for server, start in zip(_pair, before, strict=True):
        lines = server.output()[start:].splitlines()
        errors = [line for line in lines if " INFO " not in line and " WARNING " not in line]
        assert not errors, "\n".join(errors)


@pytest.fixture
async def http(pair: tuple[ServerProcess, ServerProcess]) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the first server."""
    async with httpx.AsyncClient(base_url=pair[0].url, timeout=30) as client:
        yield client
