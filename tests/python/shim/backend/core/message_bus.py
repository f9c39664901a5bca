# SPDX-License-Identifier: LGPL-2.1-or-later
"""An older path of the bus."""

from reeve import MessageBus, message_bus

__all__ = ["MessageBus", "message_bus"]
