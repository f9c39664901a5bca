/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linux 6.12 and later let a thread of the normal policy choose its slice. Whoever asks for a short one gets no more and no
 * less of the processor than others, but gets it in small pieces and soon: when it wakes up, it takes the place of a
 * thread with a longer slice instead of waiting for the end of that slice, which is the next tick, some milliseconds away.
 * Earlier kernels ignore the wish.
 *
 * There is no function of libc for it before glibc 2.41. */

#include "basic/sched.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NSEC 100000 /* the shortest that the kernel gives */

int sched_be_prompt(void)
{
        struct sched_attr attr = { 0 };

        if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) < 0)
                return -errno;
        attr.sched_flags |= SCHED_FLAG_RESET_ON_FORK;
        attr.sched_runtime = SLICE_NSEC;
        return syscall(SYS_sched_setattr, 0, &attr, 0) < 0 ? -errno : 0;
}
