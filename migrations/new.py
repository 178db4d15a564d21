"""Write the next migration: the difference between the tables in the code and those that the migrations create.

`make migration NAME="add teams"` calls this. It compares with a temporary PostgreSQL, which it removes again.
"""

import sys
import tempfile
from pathlib import Path

from saas.adapters.embedded_postgres import embedded_postgres
from saas.adapters.postgres.migrations import alembic, migrate

VERSIONS = Path(__file__).parent / "versions"


def main(name: str) -> None:
    number = f"{len(list(VERSIONS.glob('[0-9]*.py'))) + 1:04}"
    with tempfile.TemporaryDirectory(prefix="saas-migration-") as folder, embedded_postgres(Path(folder)) as url:
        migrate(url)
        commands = alembic(url)
        commands.config.attributes["compares"] = True  # tells env.py that no revision is the target
        commands.revision(message=name, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    main(sys.argv[1])
