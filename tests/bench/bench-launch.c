/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One loop that starts /bin/true (or another command) as fast as it can, with N workers, for S seconds:
 *
 *     bench-launch bare N S              what the kernel alone can do for a launcher: mkdir of a leaf cgroup,
 *                                        clone3(CLONE_INTO_CGROUP | CLONE_PIDFD), execve, waitid, one read of
 *                                        cpu.stat, rmdir
 *     bench-launch keeper N S            the same with a process for each task that forks it and waits for it, as a keeper does
 *     bench-launch kept N S              ... and syncs a record of its end to a file of its worker's, as a database would that
 *                                        groups nothing: what is left for everything else that reeve is
 *     bench-launch run N S SOCKET [BACKEND]   the same through reeve: Run, then Wait, over one connection for each worker
 *     bench-launch command N S ARGV...   whatever ARGV does to start it: systemd-run, tsp, reeve run
 *
 * Workers are processes, so that none holds another's locks. A loop ends with its last task that began in time; the
 * rate counts each worker over its own time. The result is one line of key=value: what is compared with what, how
 * often and in which order is the business of tests/bench/bench.
 *
 * Not here: the CPU time of the daemons, which are no children of ours. `cpu_usec` is that of the workers and
 * what they waited for. */

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-clock.h"
#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "basic/time.h"
#include "common/cgroup/cgroup.h"
#include "common/json/json.h"
#include "common/spec/spec.h"
#include "common/task-id.h"
#include "common/varlink/varlink-client.h"

#define WORKERS_MAX  256
#define SECONDS_MAX  600
#define EXIT_SKIPPED 77 /* this host lacks what the loop needs */

/* One worker's result, in memory shared with it. */
typedef struct Tally {
        uint64_t tasks;
        usec_t usec;
} Tally;

typedef struct Bench Bench;

typedef struct Loop {
        const char *name;
        const char *operands;
        int n_operands;                              /* at least */
        int (*prepare)(Bench *b);                    /* once, before the workers; may be NULL */
        int (*enter)(Bench *b);                      /* in each worker; may be NULL */
        int (*start_and_wait)(Bench *b, uint64_t k); /* task number k of this worker */
        void (*clean)(Bench *b);                     /* once, afterwards; may be NULL */
} Loop;

struct Bench {
        const Loop *loop;
        int n_workers, seconds, worker;
        char **operands;
        Tally *tallies;
        int folder_fd, mount_fd; /* bare */
        int log_fd;              /* kept */
        char folder[64];
        VarlinkClient *client; /* run */
};

static char *const plain_argv[] = { (char *)"/bin/true", NULL };
static char *const plain_env[] = { (char *)"PATH=/usr/bin:/bin", NULL };

/* ---- bare ---- */

static int bare_prepare(Bench *b)
{
        int r = cgroup_open_mount(&b->mount_fd, NULL);
        if (r < 0) {
                fprintf(stderr, "bench-launch: no cgroup2 mount on this host\n");
                return r;
        }
        snprintf(b->folder, sizeof(b->folder), "reeve-bench-%d", (int)getpid());
        if (mkdirat(b->mount_fd, b->folder, 0755) < 0)
                return -errno;
        b->folder_fd = openat(b->mount_fd, b->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return b->folder_fd < 0 ? -errno : 0;
}

static void bare_clean(Bench *b)
{
        b->folder_fd = fd_close(b->folder_fd);
        if (b->folder[0])
                unlinkat(b->mount_fd, b->folder, AT_REMOVEDIR);
        b->mount_fd = fd_close(b->mount_fd);
}

static int start_in(int leaf_fd, int *ret_pidfd)
{
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)leaf_fd,
                .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
        };

        long pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                execve(plain_argv[0], plain_argv, plain_env);
                _exit(127);
        }
        return 0;
}

static int bare_start_and_wait(Bench *b, uint64_t k)
{
        _cleanup_fd_ int leaf_fd = -EBADF;
        int pidfd = -EBADF;
        char name[64], text[4096];
        siginfo_t info;
        int r;

        snprintf(name, sizeof(name), "w%d.%llu", b->worker, (unsigned long long)k);
        if (mkdirat(b->folder_fd, name, 0755) < 0)
                return -errno;
        leaf_fd = openat(b->folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = leaf_fd < 0 ? -errno : start_in(leaf_fd, &pidfd);
        if (r >= 0) {
                if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
                        r = -errno;
                else if (info.si_code != CLD_EXITED || info.si_status != 0)
                        r = -ECHILD;
                fd_close(pidfd);
        }
        if (r >= 0)
                r = (int)fd_read_file_at(leaf_fd, "cpu.stat", text, sizeof(text));
        if (unlinkat(b->folder_fd, name, AT_REMOVEDIR) < 0 && r >= 0)
                r = -errno;
        return r < 0 ? r : 0;
}

/* ---- keeper ---- */

static int keeper_start_and_wait(Bench *b, uint64_t k)
{
        siginfo_t info;

        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                _exit(bare_start_and_wait(b, k) < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
                return -errno;
        return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : -ECHILD;
}

/* In the directory that it was started in. */
static int kept_enter(Bench *b)
{
        b->log_fd = open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        return b->log_fd < 0 ? -errno : 0;
}

static int kept_start_and_wait(Bench *b, uint64_t k)
{
        static const char page[4096];

        int r = keeper_start_and_wait(b, k);
        if (r >= 0 && (pwrite(b->log_fd, page, sizeof(page), (off_t)(k % 1024 * sizeof(page))) < 0 ||
                       fdatasync(b->log_fd) < 0))
                r = -errno;
        return r;
}

/* ---- run ---- */

static int complain(const ReeveError *e, const char *what)
{
        fprintf(stderr, "bench-launch: %s: %s\n", what, e->text);
        return -EIO;
}

static int run_enter(Bench *b)
{
        ReeveError e = REEVE_ERROR_NULL;

        return varlink_client_connect(b->operands[0], &b->client, &e) < 0 ? complain(&e, "connect") : 0;
}

static int seal_specification(const char *task_id, ReeveError *reterr)
{
        const Spec s = {
                .task_id = task_id,
                .attempts = 1,
                .uid = getuid(),
                .gid = getgid(),
                .cwd = "/",
                .umask = 022,
                .stdio = { { .kind = SPEC_STDIO_NULL },
                           { .kind = SPEC_STDIO_OUTPUT },
                           { .kind = SPEC_STDIO_OUTPUT } },
                .grace_usec = USEC_INFINITY,
                .env = (char **)plain_env,
                .n_env = 1,
                .argv = (char **)plain_argv,
                .n_argv = 1,
        };
        _cleanup_free_ char *text = NULL;
        size_t size;
        int fd;

        int r = spec_format(&s, &text, &size, reterr);
        if (r >= 0)
                r = spec_seal(text, size, &fd, reterr);
        return r < 0 ? r : fd;
}

/* Sends Run and takes its reply. */
static int run_task(Bench *b, const char *task_id, ReeveError *reterr)
{
        _cleanup_(varlink_reply_done) VarlinkReply reply = { 0 };
        _cleanup_json_ json_t *parameters = json_object();
        _cleanup_fd_ int spec_fd = seal_specification(task_id, reterr);

        if (spec_fd < 0)
                return spec_fd;
        if (!parameters || json_set_integer(parameters, "spec", 0) < 0 ||
            json_set_string(parameters, "subsystem", "bench") < 0 ||
            json_set_string(parameters, "task_type", "launch") < 0 ||
            json_set_string(parameters, "backend", b->operands[1]) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "parameters");
        int r = varlink_client_send(b->client, "io.reeve.Registry.Run", parameters, 0, &spec_fd, 1, reterr);
        if (r >= 0)
                r = varlink_client_receive(b->client, USEC_INFINITY, &reply, reterr);
        return r < 0 ? r : varlink_reply_to_error(&reply, reterr);
}

static int wait_for_task(Bench *b, const char *task_id, ReeveError *reterr)
{
        _cleanup_json_ json_t *parameters = json_object(), *reply = NULL;

        if (!parameters || json_set_string(parameters, "task_id", task_id) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "parameters");
        int r = varlink_client_call(b->client, "io.reeve.Registry.Wait", parameters, &reply, reterr);
        if (r < 0)
                return r;
        const char *status = json_get_string(json_object_get(reply, "task"), "status");
        if (!status || !streq(status, "completed"))
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, NULL, "%s is %s, not completed",
                                       task_id, status ?: "nowhere");
        return 0;
}

static int run_start_and_wait(Bench *b, uint64_t k)
{
        ReeveError e = REEVE_ERROR_NULL;
        char task_id[TASK_ID_MAX + 1];
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        int r = task_id_make("bench", "launch", usec_from_timespec(&ts), task_id);
        if (r < 0)
                return r;
        if (run_task(b, task_id, &e) < 0)
                return complain(&e, "Run");
        return wait_for_task(b, task_id, &e) < 0 ? complain(&e, "Wait") : 0;
}

/* ---- command ---- */

static int command_start_and_wait(Bench *b, uint64_t k)
{
        siginfo_t info;

        pid_t pid = vfork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                execvp(b->operands[0], b->operands);
                _exit(127);
        }
        if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
                return -errno;
        if (info.si_code != CLD_EXITED || info.si_status != 0) {
                fprintf(stderr, "bench-launch: %s: ended with %d\n", b->operands[0], info.si_status);
                return -ECHILD;
        }
        return 0;
}

/* ---- workers ---- */

static const Loop loops[] = {
        { "bare", "", 0, bare_prepare, NULL, bare_start_and_wait, bare_clean },
        { "keeper", "", 0, bare_prepare, NULL, keeper_start_and_wait, bare_clean },
        { "kept", "", 0, bare_prepare, kept_enter, kept_start_and_wait, bare_clean },
        { "run", " SOCKET [BACKEND]", 1, NULL, run_enter, run_start_and_wait, NULL },
        { "command", " ARGV...", 1, NULL, NULL, command_start_and_wait, NULL },
};

_noreturn_ static void work(Bench *b)
{
        Tally *t = b->tallies + b->worker;

        int r = b->loop->enter ? b->loop->enter(b) : 0;
        usec_t begin = now(), end = usec_add(begin, (usec_t)b->seconds * USEC_PER_SEC);
        while (r >= 0 && now() < end) {
                r = b->loop->start_and_wait(b, t->tasks);
                if (r >= 0)
                        t->tasks++;
        }
        t->usec = now() - begin;
        if (r < 0)
                fprintf(stderr, "bench-launch: worker %d, task %llu: %s\n", b->worker,
                        (unsigned long long)t->tasks, strerror(-r));
        _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* 0 if all workers ended well. */
static int run_workers(Bench *b)
{
        int failed = 0, n = 0, status;

        for (; n < b->n_workers; n++) {
                b->worker = n;
                pid_t pid = fork();
                if (pid == 0)
                        work(b);
                if (pid < 0) {
                        failed = -errno;
                        break;
                }
        }
        while (n > 0 && wait(&status) > 0) {
                n--;
                if (status != 0)
                        failed = -ECHILD;
        }
        return failed;
}

static void print_result(const Bench *b)
{
        struct rusage used;
        uint64_t tasks = 0;
        double rate = 0;
        usec_t longest = 1;

        for (int i = 0; i < b->n_workers; i++) {
                const Tally *t = b->tallies + i;
                tasks += t->tasks;
                rate += (double)t->tasks / (double)MAX(t->usec, (usec_t)1) * USEC_PER_SEC;
                longest = MAX(longest, t->usec);
        }
        getrusage(RUSAGE_CHILDREN, &used);
        printf("loop=%s workers=%d tasks=%llu usec=%llu rate=%.2f cpu_usec=%llu\n", b->loop->name,
               b->n_workers, (unsigned long long)tasks, (unsigned long long)longest, rate,
               (unsigned long long)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * USEC_PER_SEC +
                               (unsigned long long)(used.ru_utime.tv_usec + used.ru_stime.tv_usec));
}

static int bench(Bench *b)
{
        b->tallies = mmap(NULL, sizeof(Tally) * WORKERS_MAX, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (b->tallies == MAP_FAILED)
                return EXIT_FAILURE;
        int r = b->loop->prepare ? b->loop->prepare(b) : 0;
        int status = r < 0 ? EXIT_SKIPPED : EXIT_SUCCESS;
        if (r >= 0 && run_workers(b) < 0)
                status = EXIT_FAILURE;
        if (b->loop->clean)
                b->loop->clean(b);
        if (status == EXIT_SUCCESS)
                print_result(b);
        return status;
}

static int usage(void)
{
        for (size_t i = 0; i < ELEMENTSOF(loops); i++)
                fprintf(stderr, "bench-launch %s WORKERS SECONDS%s\n", loops[i].name, loops[i].operands);
        return 2;
}

int main(int argc, char *argv[])
{
        Bench b = { .folder_fd = -EBADF, .mount_fd = -EBADF };

        if (argc < 4)
                return usage();
        for (size_t i = 0; i < ELEMENTSOF(loops); i++)
                if (streq(argv[1], loops[i].name))
                        b.loop = loops + i;
        if (!b.loop || argc - 4 < b.loop->n_operands ||
            parse_int_range(argv[2], 1, WORKERS_MAX, &b.n_workers) < 0 ||
            parse_int_range(argv[3], 1, SECONDS_MAX, &b.seconds) < 0)
                return usage();
        b.operands = argv + 4;
        return bench(&b);
}
