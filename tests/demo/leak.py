# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs away in memory, until a limit ends it."""
blocks = []
while True:
    blocks.append(bytearray(16 << 20))
