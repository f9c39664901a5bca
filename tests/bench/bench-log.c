/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The immutable log alone.
 *
 *     bench-log append FILE ENTRIES BYTES      events that are entries, of so many bytes as they are hashed, into the database
 *                                              FILE, a thousand writes under way; then a checkpoint. FILE.key has the public key
 *     bench-log hash ENTRIES BYTES THREADS     the peer, of appending and of verifying: as many bytes hashed as leaves, by so
 *                                              many threads, and nothing read or written
 *
 * Both print a line of key=value. Verifying is measured by running `reeve log verify` upon FILE. */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench-clock.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/tlog/log-entry.h"
#include "daemon/store/store.h"

#define UNDER_WAY   1000
#define ENTRIES_MAX 100000000
#define BYTES_MIN   200
#define BYTES_MAX   65536
#define THREADS_MAX 256

static void print_rate(int workers, uint64_t entries, usec_t begin, usec_t cpu_begin)
{
        usec_t took = MAX(now() - begin, (usec_t)1);

        printf("workers=%d tasks=%" PRIu64 " usec=%" PRIu64 " rate=%.2f cpu_usec=%" PRIu64 "\n", workers,
               entries, took, (double)entries * USEC_PER_SEC / (double)took, cpu() - cpu_begin);
}

/* ---- append ---- */

typedef struct Appending {
        sd_event *event;
        Store *store;
        unsigned under_way;
        int result;
} Appending;

static void on_written(const ReeveError *error, int64_t last_event _unused_, void *userdata)
{
        Appending *a = ASSERT_PTR(userdata);

        a->under_way--;
        if (error) {
                fprintf(stderr, "bench-log: %s\n", error->text);
                a->result = -EIO;
        }
}

static void on_signed(const ReeveError *error, const char *note _unused_, void *userdata)
{
        on_written(error, 0, userdata);
}

static int run_until(Appending *a, unsigned left)
{
        while (a->under_way > left && a->result >= 0) {
                int r = sd_event_run(a->event, UINT64_MAX);
                if (r < 0)
                        return r;
        }
        return a->result;
}

static int append_one(Appending *a, unsigned n, char *detail)
{
        char task_id[32];
        EventRow e = { .realtime = 1700000000 * USEC_PER_SEC + n,
                       .topic = (char *)"task.completed",
                       .task_id = task_id,
                       .subsystem = (char *)"bench",
                       .detail = detail };

        snprintf(task_id, sizeof(task_id), "bench_reported_%012u", n / 3);
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(a->store, 0, on_written, a);
        int r = w ? store_write_event(w, &e) : -ENOMEM;
        if (r >= 0)
                r = store_write_submit(TAKE_PTR(w));
        if (r >= 0)
                a->under_way++;
        return r < 0 ? r : run_until(a, UNDER_WAY);
}

/* A detail that makes entries of so many bytes. */
static char *detail_of(size_t bytes)
{
        LogEntry e = { .number = 100000,
                       .timestamp = 1700000000LL * USEC_PER_SEC,
                       .action = "task_completed",
                       .task_id = "bench_reported_000000000000",
                       .subsystem = "bench",
                       .detail = "" };
        size_t n = bytes - log_entry_size(&e);
        char *detail = malloc(n + 1);

        if (detail) {
                memset(detail, 'x', n);
                detail[n] = '\0';
        }
        return detail;
}

static int append_all(Appending *a, int entries, size_t bytes)
{
        _cleanup_free_ char *detail = detail_of(bytes);
        int r = detail ? 0 : -ENOMEM;

        usec_t begin = now(), cpu_begin = cpu();
        for (int i = 0; i < entries && r >= 0; i++)
                r = append_one(a, (unsigned)i, detail);
        if (r >= 0)
                r = run_until(a, 0);
        if (r < 0)
                return r;
        print_rate(1, (uint64_t)entries, begin, cpu_begin);
        r = store_sign_log(a->store, on_signed, a);
        a->under_way += r >= 0;
        return r < 0 ? r : run_until(a, 0);
}

static int write_key(const Store *s, const char *path)
{
        char text[CHECKPOINT_KEY_MAX];
        FILE *f = fopen(path, "w");

        if (!f)
                return -errno;
        checkpoint_key_format(store_log_key(s), text);
        fprintf(f, "%s\n", text);
        return fclose(f) == EOF ? -errno : 0;
}

static int append(char **argv)
{
        _cleanup_free_ char *secret = string_printf("%s.secret", argv[0]),
                            *public = string_printf("%s.key", argv[0]);
        ReeveError e = REEVE_ERROR_NULL;
        Appending a = { 0 };
        int entries, bytes;

        if (parse_int_range(argv[1], 1, ENTRIES_MAX, &entries) < 0 ||
            parse_int_range(argv[2], BYTES_MIN, BYTES_MAX, &bytes) < 0 || !secret || !public)
                return -EINVAL;
        int r = sd_event_new(&a.event);
        if (r < 0)
                return r;
        StoreConfig config = {
                .path = argv[0], .log_key = secret, .log_origin = "bench/log", .event = a.event
        };
        r = store_open(&config, &a.store, &e);
        if (r < 0)
                fprintf(stderr, "bench-log: %s\n", e.text);
        else
                r = append_all(&a, entries, (size_t)bytes);
        if (r >= 0)
                r = write_key(a.store, public);
        store_close(a.store);
        sd_event_unref(a.event);
        return r;
}

/* ---- hash ---- */

typedef struct Hashing {
        pthread_t thread;
        unsigned entries;
        size_t bytes;
        TlogHash last;
} Hashing;

static void *hash_some(void *userdata)
{
        Hashing *h = ASSERT_PTR(userdata);
        char *text = calloc(1, h->bytes);

        for (unsigned i = 0; text && i < h->entries; i++) {
                memcpy(text, &i, sizeof(i));
                tlog_leaf_hash(text, h->bytes, &h->last);
        }
        free(text);
        return text ? h : NULL;
}

static int hash(char **argv)
{
        static Hashing h[THREADS_MAX];
        int entries, bytes, threads, n = 0, r = 0;

        if (parse_int_range(argv[0], 1, ENTRIES_MAX, &entries) < 0 ||
            parse_int_range(argv[1], BYTES_MIN, BYTES_MAX, &bytes) < 0 ||
            parse_int_range(argv[2], 1, THREADS_MAX, &threads) < 0)
                return -EINVAL;
        usec_t begin = now(), cpu_begin = cpu();
        for (; n < threads && r == 0; n++) {
                h[n].entries = (unsigned)(entries / threads);
                h[n].bytes = (size_t)bytes;
                r = pthread_create(&h[n].thread, NULL, hash_some, h + n);
        }
        while (n > 0)
                pthread_join(h[--n].thread, NULL);
        if (r == 0)
                print_rate(threads, (uint64_t)(entries / threads * threads), begin, cpu_begin);
        return -r;
}

static const struct {
        const char *name, *operands;
        int (*run)(char **argv);
} loops[] = {
        { "append", "FILE ENTRIES BYTES", append },
        { "hash", "ENTRIES BYTES THREADS", hash },
};

int main(int argc, char **argv)
{
        for (size_t i = 0; argc == 5 && i < ELEMENTSOF(loops); i++)
                if (streq(argv[1], loops[i].name)) {
                        int r = loops[i].run(argv + 2);
                        if (r < 0)
                                fprintf(stderr, "bench-log: %s: %s\n", argv[1], strerror(-r));
                        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
                }
        for (size_t i = 0; i < ELEMENTSOF(loops); i++)
                fprintf(stderr, "usage: bench-log %s %s\n", loops[i].name, loops[i].operands);
        return 2;
}
