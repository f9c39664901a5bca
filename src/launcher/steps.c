/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting a task takes a millisecond, and now and then many: a clone into a cgroup waits for whoever moves processes between
 * cgroups, the list of spent tickets for its disk. A deadline cannot wait for that. So the steps of ladders have a process
 * of their own, which serves one method, Step, on a socket of its own.
 *
 * It is a fork of the launcher from before that has anything but its places: the key's page is wiped by the fork, the
 * rest of its descriptors is closed. It needs the records and the cgroup mount, and what it does is what the launcher would
 * have done (control.c): a bit in a record is set by whoever comes first, whichever process that is. It ends with the
 * launcher. If it ends before, reeved asks the launcher. */

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "common/cgroup/cgroup.h"
#include "launcher/launcher.h"

#define NICE_MOST (-20)

_noreturn_ static void run(Launcher *l, pid_t parent)
{
        int keep[] = { l->records_fd, l->proc_fd };
        ReeveError e = REEVE_ERROR_NULL;

        prctl(PR_SET_NAME, "reeve-steps");
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        fd_close_all_but(keep, ELEMENTSOF(keep));
        (void)cgroup_open_mount(&l->pool.mount_fd, NULL); /* without one tasks are families of processes */
        launcher_prefer();
        /* What it does is short, and late as soon as it waits. A real-time policy would keep the whole host from enabling the
         * cpu controller, where the kernel has CONFIG_RT_GROUP_SCHED. */
        (void)setpriority(PRIO_PROCESS, 0, NICE_MOST);
        l->only_steps = true;
        int r = sd_event_new(&l->event);
        if (r >= 0)
                r = server_start(l, &e);
        if (r >= 0)
                r = sd_event_loop(l->event);
        if (r < 0)
                log_error_errno(r, "steps of ladders come by way of the launcher");
        _exit(EXIT_FAILURE);
}

void steps_start(Launcher *l)
{
        assert(l);

        pid_t parent = getpid(), pid = fork();
        if (pid == 0)
                run(l, parent);
        if (pid < 0)
                log_warning_errno(errno, "cannot fork, steps of ladders come by way of the launcher");
}
