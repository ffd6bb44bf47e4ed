"""An AskNews-compatible server with made-up news, for demonstration and tests.

The same moment always gives the same news, and new articles appear as time passes. `create_app` builds the application,
`vibecheck sandbox` serves it, and `Fault` describes how it can be made to misbehave.
"""

from deployments.sandbox.app import create_app
from deployments.sandbox.faults import Fault

__all__ = ["Fault", "create_app"]
