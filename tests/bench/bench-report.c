/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reported tasks: what the registry does with them, and the least that has to be done.
 *
 *     bench-report pipeline SOCKET PREFIX TASKS    Start and Complete of TASKS tasks, "<PREFIX>_<n>", on one connection, sent without
 *                                                  waiting for answers; the time ends with the last answer, all of which must be
 *                                                  those of success
 *     bench-report start SOCKET PREFIX TASKS       Start, and the next one when that was answered
 *     bench-report rows FILE COMMITS ROWS BYTES    the peer of `pipeline`: so many transactions of so many rows of so many bytes, by
 *                                                  SQLite with the same durability into one table with no index but its key
 *     bench-report sync FILE COMMITS BYTES         the peer of `start`: so many times, BYTES written over and fdatasync
 *
 * `pipeline` and `rows` print a line of key=value, the others microseconds of each answer or sync. Requests are made before the
 * clock starts, and answers only counted: it is the registry that is measured. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench-clock.h"
#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "basic/time.h"
#include "common/task-id.h"

#define TASKS_MAX   10000000
#define RECEIVED    (1 << 20)
#define SUCCESS     "{\"parameters\""
#define SYNCED_SIZE (8U << 20)

static void print_rate(uint64_t tasks, usec_t begin, usec_t cpu_begin)
{
        usec_t took = MAX(now() - begin, (usec_t)1);

        printf("workers=1 tasks=%" PRIu64 " usec=%" PRIu64 " rate=%.2f cpu_usec=%" PRIu64 "\n", tasks, took,
               (double)tasks * USEC_PER_SEC / (double)took, cpu() - cpu_begin);
}

/* ---- requests ---- */

static int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int add_start(Buffer *b, const char *prefix, unsigned n)
{
        int r = buffer_printf(
                        b,
                        "{\"method\":\"io.reeve.Registry.Start\",\"parameters\":{\"task_id\":\"%s_%u\","
                        "\"subsystem\":\"bench\",\"task_type\":\"reported\",\"title\":\"A task that is "
                        "reported\",\"created_by\":\"bench\"}}",
                        prefix, n);
        return r < 0 ? r : buffer_append(b, "", 1);
}

static int add_complete(Buffer *b, const char *prefix, unsigned n)
{
        int r = buffer_printf(
                        b,
                        "{\"method\":\"io.reeve.Registry.Complete\",\"parameters\":{\"task_id\":\"%s_%u\"}}",
                        prefix, n);
        return r < 0 ? r : buffer_append(b, "", 1);
}

/* ---- answers ---- */

typedef struct Answers {
        char *data; /* of RECEIVED bytes */
        size_t n;   /* in it: the beginning of one that is not whole */
        uint64_t whole;
} Answers;

/* Counts those that are whole. -EPROTO: one is not that of success. */
static int count(Answers *a)
{
        char *at = a->data, *end;

        while ((end = memchr(at, '\0', a->n - (size_t)(at - a->data)))) {
                if (!string_after(at, SUCCESS)) {
                        fprintf(stderr, "bench-report: %s\n", at);
                        return -EPROTO;
                }
                a->whole++;
                at = end + 1;
        }
        a->n -= (size_t)(at - a->data);
        memmove(a->data, at, a->n);
        return a->n < RECEIVED ? 0 : -EMSGSIZE;
}

static int take_answers(int fd, Answers *a)
{
        ssize_t k = recv(fd, a->data + a->n, RECEIVED - a->n, MSG_DONTWAIT);

        if (k == 0)
                return -ECONNRESET;
        if (k < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        a->n += (size_t)k;
        return count(a);
}

/* Sends all of it, and takes so many answers meanwhile and after. */
static int converse(int fd, const char *data, size_t size, uint64_t answers, Answers *a)
{
        for (a->whole = 0; a->whole < answers;) {
                struct pollfd p = { .fd = fd, .events = (short)(POLLIN | (size > 0 ? POLLOUT : 0)) };
                int r = 0;

                if (poll(&p, 1, -1) < 0)
                        return -errno;
                if (p.revents & POLLOUT) {
                        ssize_t k = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                        if (k < 0 && errno != EAGAIN)
                                return -errno;
                        data += MAX(k, 0);
                        size -= (size_t)MAX(k, 0);
                }
                if (p.revents & ~POLLOUT)
                        r = take_answers(fd, a);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the loops ---- */

static int tasks_of(char **argv, unsigned *ret)
{
        int n;

        if (!task_id_is_valid(argv[1]) || parse_int_range(argv[2], 1, TASKS_MAX, &n) < 0)
                return -EINVAL;
        *ret = (unsigned)n;
        return connect_to(argv[0]);
}

static int pipeline(char **argv)
{
        _cleanup_buffer_ Buffer requests = { 0 };
        _cleanup_free_ char *room = malloc(RECEIVED);
        Answers a = { .data = room };
        unsigned n;
        int r = 0;

        _cleanup_fd_ int fd = tasks_of(argv, &n);
        if (fd < 0 || !room)
                return fd < 0 ? fd : -ENOMEM;
        for (unsigned i = 0; i < n && r >= 0; i++)
                if ((r = add_start(&requests, argv[1], i)) >= 0)
                        r = add_complete(&requests, argv[1], i);
        if (r < 0)
                return r;
        usec_t begin = now(), cpu_begin = cpu();
        r = converse(fd, requests.data, requests.size, 2 * (uint64_t)n, &a);
        if (r >= 0)
                print_rate(n, begin, cpu_begin);
        return r;
}

static int start(char **argv)
{
        _cleanup_buffer_ Buffer request = { 0 };
        _cleanup_free_ char *room = malloc(RECEIVED);
        Answers a = { .data = room };
        unsigned n;

        _cleanup_fd_ int fd = tasks_of(argv, &n);
        if (fd < 0 || !room)
                return fd < 0 ? fd : -ENOMEM;
        for (unsigned i = 0; i < n; i++) {
                request.size = 0;
                int r = add_start(&request, argv[1], i);
                usec_t begin = now();
                if (r >= 0)
                        r = converse(fd, request.data, request.size, 1, &a);
                if (r < 0)
                        return r;
                printf("%" PRIu64 "\n", now() - begin);
        }
        return 0;
}

static int insert_all(sqlite3 *db, int commits, int rows, int size)
{
        _cleanup_free_ char *text = malloc((size_t)size);
        sqlite3_stmt *st = NULL;
        int rc = SQLITE_OK;

        if (!text)
                return -ENOMEM;
        memset(text, 'x', (size_t)size);
        rc = sqlite3_prepare_v2(db, "INSERT INTO peer (text) VALUES (?)", -1, &st, NULL);
        usec_t begin = now(), cpu_begin = cpu();
        for (int c = 0; c < commits && rc == SQLITE_OK; c++) {
                rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
                for (int i = 0; i < rows && rc == SQLITE_OK; i++) {
                        sqlite3_bind_text(st, 1, text, size, SQLITE_STATIC);
                        sqlite3_step(st);
                        rc = sqlite3_reset(st);
                }
                if (rc == SQLITE_OK)
                        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
        }
        sqlite3_finalize(st);
        if (rc == SQLITE_OK)
                print_rate((uint64_t)commits * (uint64_t)rows, begin, cpu_begin);
        return rc == SQLITE_OK ? 0 : -EIO;
}

static int rows(char **argv)
{
        int commits, n, size, r = -EIO;
        sqlite3 *db = NULL;

        if (parse_int_range(argv[1], 1, TASKS_MAX, &commits) < 0 ||
            parse_int_range(argv[2], 1, TASKS_MAX, &n) < 0 ||
            parse_int_range(argv[3], 1, 1 << 20, &size) < 0)
                return -EINVAL;
        if (sqlite3_open(argv[0], &db) == SQLITE_OK &&
            sqlite3_exec(db,
                         "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = "
                         "2000; CREATE TABLE IF NOT EXISTS peer (id INTEGER PRIMARY KEY, text TEXT) STRICT",
                         NULL, NULL, NULL) == SQLITE_OK)
                r = insert_all(db, commits, n, size);
        sqlite3_close(db);
        return r;
}

static int sync_all(int fd, int commits, const char *text, size_t size)
{
        off_t at = 0;

        for (int i = 0; i < commits; i++, at = (at + (off_t)size) % SYNCED_SIZE) {
                usec_t begin = now();
                if (pwrite(fd, text, size, at) != (ssize_t)size || fdatasync(fd) < 0)
                        return -errno;
                printf("%" PRIu64 "\n", now() - begin);
        }
        return 0;
}

static int sync_file(char **argv)
{
        int commits, size;

        if (parse_int_range(argv[1], 1, TASKS_MAX, &commits) < 0 ||
            parse_int_range(argv[2], 1, SYNCED_SIZE, &size) < 0)
                return -EINVAL;
        _cleanup_free_ char *text = calloc(1, SYNCED_SIZE + (size_t)size);
        _cleanup_fd_ int fd = open(argv[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (!text || fd < 0)
                return -errno;
        /* Written once before, as the log of a database is: a sync has no length or extent to store. */
        if (pwrite(fd, text, SYNCED_SIZE + (size_t)size, 0) < 0 || fsync(fd) < 0)
                return -errno;
        return sync_all(fd, commits, text, (size_t)size);
}

static const struct {
        const char *name, *operands;
        int n_operands;
        int (*run)(char **argv);
} loops[] = {
        { "pipeline", "SOCKET PREFIX TASKS", 3, pipeline },
        { "start", "SOCKET PREFIX TASKS", 3, start },
        { "rows", "FILE COMMITS ROWS BYTES", 4, rows },
        { "sync", "FILE COMMITS BYTES", 3, sync_file },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc > 1 && i < ELEMENTSOF(loops); i++)
                if (streq(argv[1], loops[i].name) && argc - 2 == loops[i].n_operands) {
                        int r = loops[i].run(argv + 2);
                        if (r < 0)
                                fprintf(stderr, "bench-report: %s: %s\n", argv[1], strerror(-r));
                        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
                }
        for (size_t i = 0; i < ELEMENTSOF(loops); i++)
                fprintf(stderr, "usage: bench-report %s %s\n", loops[i].name, loops[i].operands);
        return 2;
}
