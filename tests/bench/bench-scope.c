/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The peer of tasks in scopes: as many scopes as systemd can start, N at a time, for S seconds.
 *
 *     bench-scope N S SLICE
 *
 * Each is what the least program would do that runs a command in a scope: fork a process that waits, StartTransientUnit
 * with it, wait for the job, let it execute /bin/true, reap it. Nothing is accounted for, recorded or looked at.
 *
 * It is kept fair by doing as reeve does where that is cheap for systemd: PID 1 is spoken to on its own socket, by one
 * connection (it sends every signal to each, so more would be slower), with the same properties. One process and no worker
 * processes, therefore. The result is a line as bench-launch prints it. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "bench-clock.h"
#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "basic/time.h"

#define WORKERS_MAX  256
#define SECONDS_MAX  600
#define EXIT_SKIPPED 77
#define NAME_SIZE    64

#define DESTINATION "org.freedesktop.systemd1"
#define OBJECT      "/org/freedesktop/systemd1"
#define MANAGER     "org.freedesktop.systemd1.Manager"

typedef struct Bench Bench;

/* One scope at a time, after another. */
typedef struct Worker {
        Bench *bench;
        char unit[NAME_SIZE];
        pid_t pid;
        int go_fd;
} Worker;

struct Bench {
        sd_event *event;
        sd_bus *bus;
        const char *slice;
        usec_t end_monotonic;
        uint64_t tasks, number;
        int n_workers, n_running, status;
        Worker workers[WORKERS_MAX];
};

static void fail(Bench *b, const char *what, const char *why)
{
        fprintf(stderr, "bench-scope: %s: %s\n", what, why);
        b->status = EXIT_FAILURE;
        sd_event_exit(b->event, 0);
}

/* A child that executes /bin/true when it is told to. */
static int fork_child(Worker *w)
{
        int fds[2];
        char go;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        w->pid = fork();
        if (w->pid == 0) {
                close(fds[1]);
                if (read(fds[0], &go, 1) != 1)
                        _exit(1);
                execl("/bin/true", "/bin/true", NULL);
                _exit(127);
        }
        close(fds[0]);
        w->go_fd = fds[1];
        return w->pid < 0 ? -errno : 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Worker *w = ASSERT_PTR(userdata);

        if (sd_bus_message_is_method_error(m, NULL))
                fail(w->bench, w->unit, sd_bus_message_get_error(m)->message);
        return 0;
}

static int append_properties(sd_bus_message *m, const Worker *w)
{
        int r = sd_bus_message_append(m, "a(sv)", 9, "Description", "s", "/bin/true", "Slice", "s",
                                      w->bench->slice, "Delegate", "b", 1, "CollectMode", "s",
                                      "inactive-or-failed", "DefaultDependencies", "b", 0, "SendSIGKILL",
                                      "b", 0, "OOMPolicy", "s", "continue", "TimeoutStopUSec", "t",
                                      UINT64_C(35000000), "PIDs", "au", 1, (uint32_t)w->pid);
        return r < 0 ? r : sd_bus_message_append(m, "a(sa(sv))", 0);
}

static int ask(Worker *w)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Bench *b = w->bench;

        int r = sd_bus_message_new_method_call(b->bus, &m, DESTINATION, OBJECT, MANAGER,
                                               "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", w->unit, "replace");
        if (r >= 0)
                r = append_properties(m, w);
        return r < 0 ? r : sd_bus_call_async(b->bus, NULL, m, on_reply, w, 0);
}

static void start(Worker *w)
{
        Bench *b = w->bench;

        if (now() >= b->end_monotonic) {
                if (--b->n_running == 0)
                        sd_event_exit(b->event, 0);
                return;
        }
        snprintf(w->unit, sizeof(w->unit), "reeve-bench-%d-%llu.scope", (int)getpid(),
                 (unsigned long long)b->number++);
        int r = fork_child(w);
        if (r >= 0)
                r = ask(w);
        if (r < 0)
                fail(b, w->unit, strerrordesc_np(-r));
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        Bench *b = ASSERT_PTR(userdata);
        const char *job, *unit, *result;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;
        for (int i = 0; i < b->n_workers; i++) {
                Worker *w = b->workers + i;

                if (!streq(w->unit, unit) || w->go_fd < 0)
                        continue;
                if (!streq(result, "done"))
                        fail(b, unit, result);
                else if (write(w->go_fd, "g", 1) != 1)
                        fail(b, unit, strerrordesc_np(errno));
                w->go_fd = fd_close(w->go_fd);
        }
        return 0;
}

static int on_child(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        Bench *b = ASSERT_PTR(userdata);
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                for (int i = 0; i < b->n_workers; i++) {
                        Worker *w = b->workers + i;

                        if (w->pid != pid)
                                continue;
                        w->pid = 0;
                        w->unit[0] = '\0';
                        if (status != 0) {
                                fail(b, "/bin/true", "did not end well");
                                continue;
                        }
                        b->tasks++;
                        start(w);
                }
        return 0;
}

static int prepare(Bench *b)
{
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, NULL);
        if ((r = sd_event_default(&b->event)) < 0 ||
            (r = sd_event_add_signal(b->event, NULL, SIGCHLD, on_child, b)) < 0 ||
            (r = sd_bus_new(&b->bus)) < 0 ||
            (r = sd_bus_set_address(b->bus, "unix:path=/run/systemd/private")) < 0 ||
            (r = sd_bus_start(b->bus)) < 0 || (r = sd_bus_attach_event(b->bus, b->event, 0)) < 0)
                return r;
        return sd_bus_match_signal(b->bus, NULL, NULL, OBJECT, MANAGER, "JobRemoved", on_job_removed, b);
}

static usec_t cpu_usec(const struct rusage *used)
{
        return (usec_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * USEC_PER_SEC +
               (usec_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
}

static void print_result(const Bench *b, usec_t usec)
{
        struct rusage own, children;

        getrusage(RUSAGE_SELF, &own);
        getrusage(RUSAGE_CHILDREN, &children);
        usec_t cpu = cpu_usec(&own) + cpu_usec(&children);
        printf("loop=scope workers=%d tasks=%llu usec=%llu rate=%.2f cpu_usec=%llu\n", b->n_workers,
               (unsigned long long)b->tasks, (unsigned long long)usec,
               (double)b->tasks / (double)MAX(usec, (usec_t)1) * USEC_PER_SEC, (unsigned long long)cpu);
}

int main(int argc, char *argv[])
{
        static Bench b;
        int seconds;

        if (argc != 4 || parse_int_range(argv[1], 1, WORKERS_MAX, &b.n_workers) < 0 ||
            parse_int_range(argv[2], 1, SECONDS_MAX, &seconds) < 0) {
                fprintf(stderr, "bench-scope WORKERS SECONDS SLICE\n");
                return 2;
        }
        b.slice = argv[3];
        int r = prepare(&b);
        if (r < 0) {
                fprintf(stderr, "bench-scope: PID 1 is no systemd that speaks to us: %s\n",
                        strerrordesc_np(-r));
                return EXIT_SKIPPED;
        }
        usec_t begin = now();
        b.end_monotonic = usec_add(begin, (usec_t)seconds * USEC_PER_SEC);
        b.n_running = b.n_workers;
        for (int i = 0; i < b.n_workers; i++) {
                b.workers[i] = (Worker){ .bench = &b, .go_fd = -EBADF };
                start(b.workers + i);
        }
        r = sd_event_loop(b.event);
        if (r >= 0 && b.status == 0)
                print_result(&b, now() - begin);
        return r < 0 ? EXIT_FAILURE : b.status;
}
