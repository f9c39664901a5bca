# SPDX-License-Identifier: LGPL-2.1-or-later
"""An older path of the registry."""

from reeve import TaskRegistry, task_registry

__all__ = ["TaskRegistry", "task_registry"]
