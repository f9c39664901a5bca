/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The peer of deadlines: the least program that sends a signal at a time.
 *
 *     bench-sla SECONDS SIGNALS RECEIVERS TIMERS
 *
 * One timerfd of CLOCK_BOOTTIME, set to the first of a sorted list of times; when it rings, pidfd_send_signal() to one of
 * RECEIVERS child processes, which ignore it. SIGNALS times lie evenly, a little shaken, within SECONDS that begin two seconds after the
 * start; TIMERS more lie beyond and never ring. Nothing is stored, looked up or asked for.
 *
 * The result is a line of microseconds for each signal: from its time to the return of the system call that delivered it. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/macro.h"
#include "basic/parse.h"
#include "basic/time.h"
#include "common/clock.h"

#define RECEIVERS_MAX 1000
#define TIMES_MAX     1000000
#define BEGIN_USEC    (2 * USEC_PER_SEC)
#define BEYOND_USEC   USEC_PER_HOUR

static int compare(const void *a, const void *b)
{
        usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;
        return x < y ? -1 : x > y;
}

static int start_receiver(void)
{
        pid_t parent = getpid(), pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                signal(SIGUSR1, SIG_IGN);
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(0);
                for (;;)
                        pause();
        }
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        return fd < 0 ? -errno : fd;
}

static int wait_until(int timer, usec_t boottime)
{
        struct itimerspec when = { .it_value = usec_to_timespec(boottime) };
        uint64_t n;

        if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) < 0)
                return -errno;
        return read(timer, &n, sizeof(n)) == sizeof(n) ? 0 : -errno;
}

static void fill_times(usec_t *times, int signals, int others, int seconds)
{
        usec_t begin = clock_boottime(clock_system()) + BEGIN_USEC;
        usec_t step = (usec_t)seconds * USEC_PER_SEC / (usec_t)signals;

        srandom(1);
        for (int i = 0; i < signals; i++)
                times[i] = begin + (usec_t)i * step + (usec_t)random() % step;
        for (int i = signals; i < signals + others; i++)
                times[i] = begin + BEYOND_USEC + (usec_t)random() % BEYOND_USEC;
        qsort(times, (size_t)signals + (size_t)others, sizeof(*times), compare);
}

static int run(int signals, const usec_t *times, const int *receivers, int n_receivers)
{
        int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
        if (timer < 0)
                return -errno;
        for (int i = 0; i < signals; i++) {
                int r = wait_until(timer, times[i]);
                if (r < 0)
                        return r;
                if (syscall(SYS_pidfd_send_signal, receivers[i % n_receivers], SIGUSR1, NULL, 0) < 0)
                        return -errno;
                printf("%" PRIu64 "%c", clock_boottime(clock_system()) - times[i],
                       i + 1 < signals ? ' ' : '\n');
        }
        close(timer);
        return 0;
}

int main(int argc, char **argv)
{
        static int receivers[RECEIVERS_MAX];
        int seconds, signals, n_receivers, others, r;

        if (argc != 5 || parse_int_range(argv[1], 1, 3600, &seconds) < 0 ||
            parse_int_range(argv[2], 1, TIMES_MAX, &signals) < 0 ||
            parse_int_range(argv[3], 1, RECEIVERS_MAX, &n_receivers) < 0 ||
            parse_int_range(argv[4], 0, TIMES_MAX, &others) < 0) {
                fprintf(stderr, "usage: bench-sla SECONDS SIGNALS RECEIVERS TIMERS\n");
                return 2;
        }
        _cleanup_free_ usec_t *times = NEW(usec_t, (size_t)signals + (size_t)others);
        if (!times)
                return 1;
        for (int i = 0; i < n_receivers; i++) {
                receivers[i] = start_receiver();
                if (receivers[i] < 0) {
                        fprintf(stderr, "bench-sla: cannot start a receiver: errno %d\n", -receivers[i]);
                        return 1;
                }
        }
        fill_times(times, signals, others, seconds);
        r = run(signals, times, receivers, n_receivers);
        if (r < 0)
                fprintf(stderr, "bench-sla: errno %d\n", -r);
        return r < 0;
}
