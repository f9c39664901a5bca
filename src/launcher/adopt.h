/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How an adopting keeper learns of the end of a task that is not its child. */

#include "launcher/keeper.h"

/* True once the main process is gone and its status is in the record, as well as anybody can know it: from the
 * launcher, which as the subreaper is its parent; from the kernel (PIDFD_INFO_EXIT, Linux 6.15); else unknown. */
bool adopt_has_ended(const Keeper *k);
