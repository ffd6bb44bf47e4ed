"""Everything that puts the flows into the world: the command, the deployment, the automations, the sandbox."""
