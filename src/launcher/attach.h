/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a process that runs becomes a task: the keeper's part. */

#include "launcher/keeper.h"

/* Says `started` if nobody has, and moves the process, and those below it if that is wanted, into the leaf, unless that was
 * done. True if the task is to be watched; false if it could not be moved: then the record says why, as it does of a
 * command that cannot be executed. Async-signal-safe. */
bool attach_take(const Keeper *k);
