"""What each job is: healthy, not started, unhealthy for a reason, or paused."""
