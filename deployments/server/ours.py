"""What is ours on a Prefect server, and nobody else's: to name what prefect.yaml no longer has, and to take it away.

Nothing says who made a deployment. Ours is one whose code is a module of this project's `flows` and whose runs go to a
work pool of prefect.yaml: another project's code is named by its file, and has pools of its own.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterId, WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import BlockDocument
from prefect.events.schemas.automations import Automation
from prefect.exceptions import ObjectNotFound

from deployments.server.described import described_deployments, work_pool_names
from deployments.server.notifications import BLOCK_NAME
from flows.monitoring.jobs.deployments import deployment_pages
from flows.monitoring.paging import PAGE
from flows.monitoring.vocabulary import OWNER

# A wheel has the same modules inside its one package.
_WHEEL = "vibecheck."
_MODULES = "flows."
# The kinds of block that `apply` makes of an address.
_BLOCK_TYPES = ("slack-webhook", "custom-webhook")


@dataclass(frozen=True)
class OwnDeployment:
    """A deployment of this project's."""

    full_name: str
    """As Prefect's commands want it: `flow/deployment`."""
    id: UUID
    is_described: bool
    """Whether prefect.yaml has it."""


@dataclass(frozen=True)
class Ours:
    """Everything of ours on a server."""

    automations: Sequence[Automation]
    deployments: Sequence[OwnDeployment]
    work_pools: Sequence[str]
    shared_work_pools: Sequence[str]
    """Those that somebody else's deployments use as well."""
    blocks: Sequence[BlockDocument]

    def is_nothing(self) -> bool:
        """Return whether there is nothing to take away."""
        return not (self.automations or self.deployments or self.work_pools or self.blocks)


async def own_deployments(client: PrefectClient) -> list[OwnDeployment]:
    """Find the deployments of this project, by name. Raises httpx.HTTPError."""
    return (await _in_our_pools(client))[0]


async def find_ours(client: PrefectClient) -> Ours:
    """Find everything of ours on the server. Raises httpx.HTTPError."""
    deployments, shared = await _in_our_pools(client)
    return Ours(
        automations=await client.read_resource_related_automations(OWNER),
        deployments=deployments,
        work_pools=[name for name in await _existing_pools(client) if name not in shared],
        shared_work_pools=sorted(shared),
        blocks=[block async for block in _blocks(client)],
    )


async def remove(client: PrefectClient, ours: Ours) -> None:
    """Take it away: what would report that the rest is gone comes first."""
    for automation in ours.automations:
        await client.delete_automation(automation.id)
    await delete_deployments(client, ours.deployments)
    for name in ours.work_pools:
        await client.delete_work_pool(name)
    for block in ours.blocks:
        await client.delete_block_document(block.id)


async def delete_deployments(client: PrefectClient, deployments: Iterable[OwnDeployment]) -> None:
    """Delete these deployments, and the runs that are planned of them; a run that is going ends by itself."""
    for deployment in deployments:
        await client.delete_deployment(deployment.id)


async def _in_our_pools(client: PrefectClient) -> tuple[list[OwnDeployment], set[str]]:
    """Our deployments, and the names of those of our pools that have others as well."""
    described = {(entry["entrypoint"].removeprefix(_WHEEL), entry["name"]) for entry in described_deployments()}
    ours, shared = list[OwnDeployment](), set[str]()
    pools = WorkPoolFilter(name=WorkPoolFilterName(any_=work_pool_names()))
    async for page in deployment_pages(client, work_pool_filter=pools):
        wanted = FlowFilter(id=FlowFilterId(any_=[deployment.flow_id for deployment in page]))
        flows = {flow.id: flow.name for flow in await client.read_flows(flow_filter=wanted, limit=PAGE)}
        for deployment in page:
            entrypoint = (deployment.entrypoint or "").removeprefix(_WHEEL)
            if entrypoint.startswith(_MODULES) and ":" not in entrypoint:
                full_name = f"{flows.get(deployment.flow_id, '?')}/{deployment.name}"
                ours.append(OwnDeployment(full_name, deployment.id, (entrypoint, deployment.name) in described))
            elif deployment.work_pool_name is not None:
                shared.add(deployment.work_pool_name)
    return sorted(ours, key=lambda each: each.full_name), shared


async def _existing_pools(client: PrefectClient) -> list[str]:
    wanted = WorkPoolFilter(name=WorkPoolFilterName(any_=work_pool_names()))
    return sorted(pool.name for pool in await client.read_work_pools(work_pool_filter=wanted))


async def _blocks(client: PrefectClient) -> AsyncGenerator[BlockDocument]:
    for slug in _BLOCK_TYPES:
        with suppress(ObjectNotFound):
            yield await client.read_block_document_by_name(BLOCK_NAME, slug, include_secrets=False)
