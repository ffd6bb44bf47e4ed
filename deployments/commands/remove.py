"""`vibecheck remove`: take everything of ours off a Prefect server, after asking. The database stays as it is."""

import sys
from typing import Annotated

from cyclopts import Parameter
from prefect import get_client
from rich.console import Console
from rich.markup import escape

from deployments.failures import CommandFailed
from deployments.parameters import GivenSettings
from deployments.server.environments import require_server
from deployments.server.ours import Ours, find_ours, remove
from flows.logs import configure_logging

# Of each kind. The automations are as many as the jobs.
MOST_NAMES = 20


async def run_remove(
    *,
    is_sure: Annotated[bool, Parameter(name="--yes", help="Do not ask.")] = False,
    settings: GivenSettings,
) -> int:
    """Take everything of ours off the Prefect server, after asking. The database stays as it is.

    Exit code 1 if the answer was no.
    """
    require_server()
    configure_logging(settings, to_prefect=False)
    console = Console(highlight=False)
    async with get_client() as client:
        ours = await find_ours(client)
        if ours.is_nothing():
            console.print(f"The server at {client.api_url} has nothing of ours.")
            return 0
        console.print(f"On the server at {client.api_url}:")
        for what, names in _listed(ours):
            console.print(f"  {what}:" if names else f"  {what}: none")
            more = [f"and {len(names) - MOST_NAMES:,} more"] if len(names) > MOST_NAMES else []
            for name in [*names[:MOST_NAMES], *more]:
                console.print(f"    {escape(name)}", soft_wrap=True)
        if not is_sure and not agreed(console):
            console.print("Nothing was removed.")
            return 1
        await remove(client, ours)
    console.print(
        "Removed. What has happened is yours: flows, past runs and artifacts stay on the server, and every row in the "
        "database."
    )
    return 0


def _listed(ours: Ours) -> list[tuple[str, list[str]]]:
    listed = [
        ("deployments", [deployment.full_name for deployment in ours.deployments]),
        ("automations", [automation.name for automation in ours.automations]),
        ("work pools", list(ours.work_pools)),
        ("blocks", [f"{block.block_type_name or 'block'} {block.name}" for block in ours.blocks]),
    ]
    if ours.shared_work_pools:
        listed.append(("work pools that stay, as others use them too", list(ours.shared_work_pools)))
    return listed


def agreed(console: Console) -> bool:
    """Ask whoever sits at the terminal. Raises CommandFailed if nobody does."""
    if not sys.stdin.isatty():
        raise CommandFailed("Nobody is there to be asked: add --yes to remove all this.")
    try:
        answer = console.input(r"Remove all this? \[y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in {"y", "yes"}
