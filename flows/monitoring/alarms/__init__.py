"""Who is told what: events, one message for all that changed, and a ping to a watcher outside."""
