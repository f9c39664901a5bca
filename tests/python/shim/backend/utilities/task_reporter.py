# SPDX-License-Identifier: LGPL-2.1-or-later
"""An older path of the reporter."""

from reeve import ReportedTask, TaskReporter

__all__ = ["ReportedTask", "TaskReporter"]
