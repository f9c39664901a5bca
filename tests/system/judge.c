/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A program that knows its load. Tests run it as a task and compare the account that reeve gives with what it says
 * about itself, so it must learn nothing from where reeve learns: it opens no cgroup file, and its measures are the
 * clocks of its own processes and the calls that it made.
 *
 *     touch BYTES             writes to every page of so much anonymous memory
 *     keep BYTES              the same, and keeps it until a signal ends it
 *     write-direct FILE BYTES O_DIRECT, in blocks of 1 MiB; FILE is made if it is not there
 *     read-direct FILE BYTES  the same, reading
 *     burn USEC N             N children use so much CPU time together
 *     daemonise USEC          a double fork with setsid: the daemon burns, its forebear waits for it to end
 *     abandon USEC            the same, but the forebear has ended before the daemon begins, and TERM is ignored
 *     forks N                 N children at once, or as many as there may be
 *     oom                     takes memory until it is killed
 *     spin FILE               burns for ever, and keeps the CPU time that it used in FILE
 *     hold                    does nothing until a signal ends it
 *
 * What it did goes to stdout as lines "name value". It is linked statically: a shared libc would be pages of files
 * that are charged to whoever touches them first. Stacks and the program itself remain, some 100 KiB.
 *
 * CPU time is read by each process of itself, as the last thing that it does before _exit(2): "cpu_usec" is the sum and
 * lacks what fork, exec and exit cost, some 0.1 ms for each. "cpu_waited_usec" has the children from getrusage(2), that
 * is with their exits, where they were waited for.
 *
 * lint: forbidden-calls: it judges our code, so it uses none of it, our parsers included.
 * lint: sleeping-tests: it is a load, not a test; to sleep is part of the load. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "basic/parse.h"

#define BLOCK        (1U << 20)
#define CHILDREN_MAX 4096
#define NSEC         1000000000LL

/* Shared with all children. */
typedef struct Board {
        int64_t cpu_nsec[CHILDREN_MAX];
} Board;

static void check(int ok, const char *what)
{
        if (ok)
                return;
        fprintf(stderr, "judge: %s: %s\n", what, strerror(errno));
        _exit(99);
}

static int64_t now(clockid_t clock)
{
        struct timespec ts;

        check(clock_gettime(clock, &ts) == 0, "clock_gettime");
        return ts.tv_sec * NSEC + ts.tv_nsec;
}

static void say(const char *name, int64_t value)
{
        printf("%s %lld\n", name, (long long)value);
}

static uint64_t number(const char *text)
{
        uint64_t value = 0;

        errno = -parse_u64(text, &value);
        check(errno == 0, text);
        return value;
}

static void *take_memory(size_t size, int flags, int fd)
{
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

        check(p != MAP_FAILED, "mmap");
        return p;
}

static void touch_pages(volatile char *p, size_t size)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        for (size_t i = 0; i < size; i += page)
                p[i] = 1;
}

static void do_touch(char **args)
{
        size_t size = number(args[0]);
        char *p = take_memory(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

        check(madvise(p, size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL, "madvise");
        touch_pages(p, size);
        say("touched_bytes", (int64_t)size);
}

static void do_hold(char **args)
{
        for (;;)
                pause();
}

static void do_keep(char **args)
{
        do_touch(args);
        fflush(stdout);
        do_hold(args);
}

static void do_oom(char **args)
{
        for (;;)
                touch_pages(take_memory(BLOCK, MAP_PRIVATE | MAP_ANONYMOUS, -1), BLOCK);
}

/* Goes through FILE from its beginning in whole blocks, by one system call each. */
static void direct_io(char **args, int flags, ssize_t (*move)(int fd, void *block), const char *bytes_name,
                      const char *calls_name)
{
        uint64_t size = number(args[1]), done = 0;
        void *block = take_memory(BLOCK, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        int64_t calls = 0;
        int fd = open(args[0], flags | O_DIRECT | O_CLOEXEC, 0600);

        check(fd >= 0, args[0]);
        memset(block, 'x', BLOCK);
        for (; done + BLOCK <= size; done += BLOCK, calls++)
                check(move(fd, block) == BLOCK, args[0]);
        say(bytes_name, (int64_t)done);
        say(calls_name, calls);
}

static ssize_t write_block(int fd, void *block)
{
        return write(fd, block, BLOCK);
}

static ssize_t read_block(int fd, void *block)
{
        return read(fd, block, BLOCK);
}

static void do_write_direct(char **args)
{
        direct_io(args, O_WRONLY | O_CREAT, write_block, "written_bytes", "writes");
}

static void do_read_direct(char **args)
{
        direct_io(args, O_RDONLY, read_block, "read_bytes", "reads");
}

/* Uses CPU until this process has used so much; returns how much that is. */
static int64_t burn_until(int64_t cpu_nsec)
{
        volatile unsigned x = 1;
        int64_t used;

        while ((used = now(CLOCK_PROCESS_CPUTIME_ID)) < cpu_nsec)
                for (unsigned i = 0; i < 1000; i++)
                        x = x * 1103515245 + 12345;
        return used;
}

static int64_t usec(const struct timeval *tv)
{
        return tv->tv_sec * 1000000LL + tv->tv_usec;
}

static void do_burn(char **args)
{
        int64_t share, total = 0, began = now(CLOCK_MONOTONIC);
        int n = (int)number(args[1]);
        struct rusage ru;
        Board *board = take_memory(sizeof(*board), MAP_SHARED | MAP_ANONYMOUS, -1);

        check(n > 0 && n <= CHILDREN_MAX, "number of children");
        share = (int64_t)number(args[0]) * 1000 / n;
        for (int i = 0; i < n; i++) {
                pid_t pid = fork();

                check(pid >= 0, "fork");
                if (pid == 0) {
                        board->cpu_nsec[i] = burn_until(share);
                        _exit(0);
                }
        }
        while (wait(NULL) > 0)
                ;
        for (int i = 0; i < n; i++)
                total += board->cpu_nsec[i];
        check(getrusage(RUSAGE_CHILDREN, &ru) == 0, "getrusage");
        say("cpu_usec", (total + now(CLOCK_PROCESS_CPUTIME_ID)) / 1000);
        say("cpu_waited_usec",
            usec(&ru.ru_utime) + usec(&ru.ru_stime) + now(CLOCK_PROCESS_CPUTIME_ID) / 1000);
        say("wall_usec", (now(CLOCK_MONOTONIC) - began) / 1000);
}

enum { FOREBEAR, PARENT, DAEMON };

static void say_sum(const Board *board)
{
        say("cpu_usec",
            (board->cpu_nsec[FOREBEAR] + board->cpu_nsec[PARENT] + board->cpu_nsec[DAEMON]) / 1000);
        fflush(stdout);
}

/* What a daemon does: the child of a child that has ended, in a session of its own. `gate` reads end of file when
 * the forebear has ended, whose end of `lifeline` does so when the daemon has. */
static void be_daemon(const char *usec_text, int gate, Board *board)
{
        char c;

        check(setsid() >= 0, "setsid");
        signal(SIGTERM, SIG_IGN); /* before the forebear can end and with it the task */
        pid_t parent = getpid(), pid = fork();
        check(pid >= 0, "fork");
        if (pid > 0) {
                board->cpu_nsec[PARENT] = now(CLOCK_PROCESS_CPUTIME_ID);
                _exit(0);
        }
        if (gate >= 0)
                check(read(gate, &c, 1) == 0, "gate");
        burn_until((int64_t)number(usec_text) * 1000);
        say("reparented", getppid() != parent);
        fflush(stdout);
        board->cpu_nsec[DAEMON] = now(CLOCK_PROCESS_CPUTIME_ID);
        if (gate >= 0)
                say_sum(board);
        _exit(0);
}

static void daemonise(const char *usec_text, int abandon)
{
        Board *board = take_memory(sizeof(*board), MAP_SHARED | MAP_ANONYMOUS, -1);
        int gate[2], lifeline[2];
        char c;

        check(pipe2(gate, O_CLOEXEC) == 0 && pipe2(lifeline, O_CLOEXEC) == 0, "pipe");
        pid_t pid = fork();
        check(pid >= 0, "fork");
        if (pid == 0) {
                close(gate[1]);
                close(lifeline[0]);
                be_daemon(usec_text, abandon ? gate[0] : -1, board);
        }
        close(lifeline[1]);
        check(waitpid(pid, NULL, 0) == pid, "waitpid");
        if (!abandon)
                check(read(lifeline[0], &c, 1) == 0, "lifeline");
        board->cpu_nsec[FOREBEAR] = now(CLOCK_PROCESS_CPUTIME_ID);
        if (!abandon)
                say_sum(board);
}

static void do_daemonise(char **args)
{
        daemonise(args[0], 0);
}

static void do_abandon(char **args)
{
        daemonise(args[0], 1);
}

static void do_forks(char **args)
{
        int gate[2], n = (int)number(args[0]), made = 0, error = 0;
        char c;

        check(pipe2(gate, O_CLOEXEC) == 0, "pipe");
        for (; made < n; made++) {
                pid_t pid = fork();

                if (pid < 0) {
                        error = errno;
                        break;
                }
                if (pid == 0) {
                        close(gate[1]);
                        check(read(gate[0], &c, 1) == 0, "gate");
                        _exit(0);
                }
        }
        close(gate[1]);
        while (wait(NULL) > 0)
                ;
        say("processes", made + 1);
        say("errno_is_eagain", error == EAGAIN);
}

static void do_spin(char **args)
{
        int fd = open(args[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        check(fd >= 0 && ftruncate(fd, sizeof(int64_t)) == 0, args[0]);
        volatile int64_t *shown = take_memory(sizeof(*shown), MAP_SHARED, fd);
        for (;;)
                *shown = now(CLOCK_PROCESS_CPUTIME_ID);
}

static const struct Verb {
        const char *name;
        int n_args;
        void (*run)(char **args);
} verbs[] = {
        { "touch", 1, do_touch },
        { "keep", 1, do_keep },
        { "write-direct", 2, do_write_direct },
        { "read-direct", 2, do_read_direct },
        { "burn", 2, do_burn },
        { "daemonise", 1, do_daemonise },
        { "abandon", 1, do_abandon },
        { "forks", 1, do_forks },
        { "oom", 0, do_oom },
        { "spin", 1, do_spin },
        { "hold", 0, do_hold },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc >= 2 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(argv[1], verbs[i].name) == 0 && argc == verbs[i].n_args + 2) {
                        verbs[i].run(argv + 2);
                        return 0;
                }
        fprintf(stderr, "judge: see the comment at its beginning for what it can do\n");
        return 98;
}
