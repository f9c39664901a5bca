# SPDX-License-Identifier: LGPL-2.1-or-later
"""An older path of the guardian."""

from reeve import Guardian

__all__ = ["Guardian"]
