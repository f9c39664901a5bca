/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The readers of cgroup files. They come in four forms:
 *
 *     one number          memory.current, memory.peak, memory.swap.peak, pids.current, pids.peak
 *     "key number" lines  cpu.stat, memory.events, memory.stat; and net.stat, which no cgroup has (see usage.h)
 *     pressure lines      "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234", likewise "full"
 *     a line per device   io.stat, see io-stat.c
 *
 * The text comes from the kernel, or from a record that was written by a kernel of another time; and counters are
 * added by every other release. So a line that is not understood is passed over, and a number too large saturates.
 * Nothing is allocated or copied: a tick reads two files of each of ten thousand tasks. */

#include "common/usage/usage.h"

#include <string.h>

#include "basic/strings.h"
#include "common/usage/scan.h"

typedef struct KeyField {
        const char *key;
        UsageField field;
} KeyField;

static const KeyField cpu_stat[] = {
        { "usage_usec", USAGE_CPU },
        { "user_usec", USAGE_CPU_USER },
        { "system_usec", USAGE_CPU_SYSTEM },
        { "nr_throttled", USAGE_CPU_NR_THROTTLED },
        { "throttled_usec", USAGE_CPU_THROTTLED },
        { NULL },
};

/* Of the scope around a task: there is its quota. */
static const KeyField scope_cpu_stat[] = {
        { "nr_throttled", USAGE_CPU_NR_THROTTLED },
        { "throttled_usec", USAGE_CPU_THROTTLED },
        { NULL },
};

static const KeyField net_stat[] = {
        { "rx_bytes", USAGE_NET_RX },
        { "tx_bytes", USAGE_NET_TX },
        { "rx_packets", USAGE_NET_RX_PACKETS },
        { "tx_packets", USAGE_NET_TX_PACKETS },
        { "loopback_rx_bytes", USAGE_NET_LOOPBACK_RX },
        { "loopback_tx_bytes", USAGE_NET_LOOPBACK_TX },
        { NULL },
};

static const KeyField memory_events[] = { { "oom_kill", USAGE_OOM_KILLS }, { NULL } };
static const KeyField memory_stat[] = { { "anon", USAGE_MEMORY_ANON_PEAK }, { NULL } };

typedef enum Form {
        FORM_NUMBER,
        FORM_KEYS,
        FORM_PRESSURE,
        FORM_IO,
} Form;

static const struct {
        const char *file;
        Form form;
        UsageField field;     /* NUMBER: it; PRESSURE: of "some" */
        UsageField full;      /* PRESSURE: of "full" */
        const KeyField *keys; /* KEYS: ended by NULL */
} files[] = {
        { "cpu.stat", FORM_KEYS, .keys = cpu_stat },
        { "memory.current", FORM_NUMBER, .field = USAGE_MEMORY_CURRENT },
        { "memory.peak", FORM_NUMBER, .field = USAGE_MEMORY_PEAK },
        { "memory.swap.peak", FORM_NUMBER, .field = USAGE_MEMORY_SWAP_PEAK },
        { "memory.events", FORM_KEYS, .keys = memory_events },
        { "memory.stat", FORM_KEYS, .keys = memory_stat },
        { "io.stat", FORM_IO },
        { "pids.current", FORM_NUMBER, .field = USAGE_PIDS_CURRENT },
        { "pids.peak", FORM_NUMBER, .field = USAGE_PIDS_PEAK },
        { "cpu.pressure", FORM_PRESSURE, .field = USAGE_PSI_CPU_SOME, .full = USAGE_PSI_CPU_FULL },
        { "memory.pressure", FORM_PRESSURE, .field = USAGE_PSI_MEMORY_SOME, .full = USAGE_PSI_MEMORY_FULL },
        { "io.pressure", FORM_PRESSURE, .field = USAGE_PSI_IO_SOME, .full = USAGE_PSI_IO_FULL },
        { "../cpu.stat", FORM_KEYS, .keys = scope_cpu_stat },
        { "net.stat", FORM_KEYS, .keys = net_stat },
};

bool scan_u64(const char **p, uint64_t *ret)
{
        const char *q = *p;
        uint64_t v = 0;

        if (*q < '0' || *q > '9')
                return false;
        for (; *q >= '0' && *q <= '9'; q++)
                if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
                    __builtin_add_overflow(v, (uint64_t)(*q - '0'), &v)) {
                        v = UINT64_MAX;
                        q += strspn(q, "0123456789");
                        break;
                }
        *p = q;
        *ret = v;
        return true;
}

const char *scan_next_line(const char *p)
{
        p += strcspn(p, "\n");
        return *p ? p + 1 : p;
}

static bool is_line_end(char c)
{
        return c == '\n' || c == '\0';
}

static void parse_number(Usage *u, UsageField field, const char *text, UsageSource source)
{
        uint64_t v;

        if (scan_u64(&text, &v) && is_line_end(*text))
                usage_set(u, field, v, source);
}

static void parse_keys(Usage *u, const KeyField *keys, const char *text, UsageSource source)
{
        for (const char *line = text; *line; line = scan_next_line(line))
                for (const KeyField *k = keys; k->key; k++) {
                        const char *p = string_after(line, k->key);
                        uint64_t v;
                        if (!p || *p++ != ' ')
                                continue;
                        if (scan_u64(&p, &v) && is_line_end(*p))
                                usage_set(u, k->field, v, source);
                        break;
                }
}

/* The value of "total=" within the line at p. */
static bool scan_total(const char *p, uint64_t *ret)
{
        size_t length = strcspn(p, "\n");
        const char *total = memmem(p, length, " total=", 7);

        if (!total)
                return false;
        total += 7;
        return scan_u64(&total, ret) && (is_line_end(*total) || *total == ' ');
}

static void parse_pressure(Usage *u, UsageField some, UsageField full, const char *text, UsageSource source)
{
        for (const char *line = text; *line; line = scan_next_line(line)) {
                UsageField field;
                uint64_t v;
                if (string_after(line, "some "))
                        field = some;
                else if (string_after(line, "full "))
                        field = full;
                else
                        continue;
                if (scan_total(line, &v))
                        usage_set(u, field, v, source);
        }
}

int usage_parse_file(Usage *u, const char *file, const char *text, UsageSource source)
{
        assert(u);
        assert(file);
        assert(text);
        assert(source > USAGE_UNKNOWN && source < _USAGE_SOURCE_MAX);

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                if (!streq(files[i].file, file))
                        continue;
                switch (files[i].form) {
                case FORM_NUMBER:
                        parse_number(u, files[i].field, text, source);
                        break;
                case FORM_KEYS:
                        parse_keys(u, files[i].keys, text, source);
                        break;
                case FORM_PRESSURE:
                        parse_pressure(u, files[i].field, files[i].full, text, source);
                        break;
                case FORM_IO:
                        usage_parse_io_stat(u, text, "/sys", source);
                        break;
                }
                return 1;
        }
        return 0;
}
