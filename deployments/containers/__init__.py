"""What the containers run beside the commands."""
