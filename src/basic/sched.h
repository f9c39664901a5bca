/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Has the calling thread run soon after it wakes up, rather than long at a time. Threads and processes that it makes later
 * begin without that, and without a niceness below 0. Where the kernel does not know of it, nothing happens. Negative errno
 * if it is not allowed; then all is as before. */
int sched_be_prompt(void);
