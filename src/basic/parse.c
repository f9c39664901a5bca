/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything is built on one scanner of decimal numbers with a fraction, which counts in integers: a quantity is
 * `whole + fraction / 10^digits` and is multiplied by its unit in 128 bits, so "0.1s" is exactly 100000 us and
 * "infinity" is never reached by rounding. */

#include "basic/parse.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "basic/macro.h"

#define FRACTION_DIGITS_MAX 9

typedef struct Quantity {
        uint64_t whole;
        uint64_t fraction; /* below `divisor` */
        uint64_t divisor;  /* a power of ten */
} Quantity;

/* Scans digits[.digits] and moves *p behind it. */
static int scan_quantity(const char **p, Quantity *ret)
{
        Quantity q = { .divisor = 1 };
        const char *s = *p;

        if (!isdigit((unsigned char)*s))
                return -EINVAL;
        for (; isdigit((unsigned char)*s); s++)
                if (__builtin_mul_overflow(q.whole, 10, &q.whole) ||
                    __builtin_add_overflow(q.whole, (uint64_t)(*s - '0'), &q.whole))
                        return -ERANGE;

        if (*s == '.') {
                s++;
                if (!isdigit((unsigned char)*s))
                        return -EINVAL;
                for (unsigned n = 0; isdigit((unsigned char)*s); s++, n++) {
                        if (n >= FRACTION_DIGITS_MAX)
                                return -ERANGE;
                        q.fraction = q.fraction * 10 + (uint64_t)(*s - '0');
                        q.divisor *= 10;
                }
        }

        *p = s;
        *ret = q;
        return 0;
}

static int scale(const Quantity *q, uint64_t unit, uint64_t *ret)
{
        unsigned __int128 v = (unsigned __int128)q->whole * unit +
                              (unsigned __int128)q->fraction * unit / q->divisor;
        if (v >= UINT64_MAX)
                return -ERANGE;
        *ret = (uint64_t)v;
        return 0;
}

int parse_u64(const char *text, uint64_t *ret)
{
        uint64_t v = 0;

        assert(text);
        assert(ret);

        if (!*text)
                return -EINVAL;
        for (const char *s = text; *s; s++)
                if (!isdigit((unsigned char)*s))
                        return -EINVAL;
        for (const char *s = text; *s; s++)
                if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
                        return -ERANGE;
        *ret = v;
        return 0;
}

int parse_u32(const char *text, uint32_t *ret)
{
        uint64_t v;

        assert(ret);

        int r = parse_u64(text, &v);
        if (r < 0)
                return r;
        if (v > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t)v;
        return 0;
}

int parse_i64(const char *text, int64_t *ret)
{
        uint64_t v;

        assert(text);
        assert(ret);

        bool negative = *text == '-';
        int r = parse_u64(text + negative, &v);
        if (r < 0)
                return r;
        if (v > (uint64_t)INT64_MAX + negative)
                return -ERANGE;
        *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
        return 0;
}

int parse_int_range(const char *text, int min, int max, int *ret)
{
        int64_t v;

        assert(ret);

        int r = parse_i64(text, &v);
        if (r < 0)
                return r;
        if (v < min || v > max)
                return -ERANGE;
        *ret = (int)v;
        return 0;
}

int parse_bool(const char *text, bool *ret)
{
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        assert(text);
        assert(ret);

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (strcasecmp(text, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                } else if (strcasecmp(text, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        return -EINVAL;
}

int parse_bytes(const char *text, uint64_t *ret)
{
        static const char suffixes[] = "KMGTPE";
        uint64_t unit = 1;
        Quantity q;

        assert(text);
        assert(ret);

        if (strcmp(text, "infinity") == 0) {
                *ret = UINT64_MAX;
                return 0;
        }

        int r = scan_quantity(&text, &q);
        if (r < 0)
                return r;
        if (*text && *text != 'B') {
                const char *suffix = strchr(suffixes, *text);
                if (!suffix)
                        return -EINVAL;
                unit = UINT64_C(1) << 10 * (suffix - suffixes + 1);
                text++;
        }
        if (*text == 'B')
                text++;
        if (*text)
                return -EINVAL;
        return scale(&q, unit, ret);
}

static int scan_unit(const char **p, usec_t *ret)
{
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "us", 1 },
                { "usec", 1 },
                { "ms", USEC_PER_MSEC },
                { "msec", USEC_PER_MSEC },
                { "s", USEC_PER_SEC },
                { "sec", USEC_PER_SEC },
                { "second", USEC_PER_SEC },
                { "seconds", USEC_PER_SEC },
                { "m", USEC_PER_MINUTE },
                { "min", USEC_PER_MINUTE },
                { "minute", USEC_PER_MINUTE },
                { "minutes", USEC_PER_MINUTE },
                { "h", USEC_PER_HOUR },
                { "hr", USEC_PER_HOUR },
                { "hour", USEC_PER_HOUR },
                { "hours", USEC_PER_HOUR },
                { "d", USEC_PER_DAY },
                { "day", USEC_PER_DAY },
                { "days", USEC_PER_DAY },
                { "w", 7 * USEC_PER_DAY },
                { "week", 7 * USEC_PER_DAY },
                { "weeks", 7 * USEC_PER_DAY },
        };
        size_t n = 0;

        while (isalpha((unsigned char)(*p)[n]))
                n++;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strlen(units[i].name) == n && strncmp(*p, units[i].name, n) == 0) {
                        *ret = units[i].usec;
                        *p += n;
                        return 0;
                }
        return -EINVAL;
}

int parse_span(const char *text, usec_t *ret)
{
        usec_t total = 0;

        assert(text);
        assert(ret);

        if (strcmp(text, "infinity") == 0) {
                *ret = USEC_INFINITY;
                return 0;
        }

        for (;;) {
                Quantity q;
                usec_t unit = USEC_PER_SEC, part;

                int r = scan_quantity(&text, &q);
                if (r < 0)
                        return r;
                if (*text) {
                        r = scan_unit(&text, &unit);
                        if (r < 0)
                                return r;
                }
                r = scale(&q, unit, &part);
                if (r < 0)
                        return r;
                if (__builtin_add_overflow(total, part, &total) || total == USEC_INFINITY)
                        return -ERANGE;
                if (!*text)
                        break;
                if (*text == ' ')
                        text++;
        }
        *ret = total;
        return 0;
}

int parse_permyriad(const char *text, uint32_t *ret)
{
        Quantity q;
        uint64_t v;

        assert(text);
        assert(ret);

        int r = scan_quantity(&text, &q);
        if (r < 0)
                return r;
        if (strcmp(text, "%") != 0)
                return -EINVAL;
        r = scale(&q, 100, &v);
        if (r < 0)
                return r;
        if (v > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t)v;
        return 0;
}

int parse_mode(const char *text, mode_t *ret)
{
        unsigned v = 0;

        assert(text);
        assert(ret);

        if (!*text)
                return -EINVAL;
        for (; *text; text++) {
                if (*text < '0' || *text > '7')
                        return -EINVAL;
                v = v * 8 + (unsigned)(*text - '0');
                if (v > 07777)
                        return -ERANGE;
        }
        *ret = (mode_t)v;
        return 0;
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

int parse_hex(const char *text, uint8_t *ret, size_t n)
{
        assert(text);
        assert(ret);

        if (strlen(text) != 2 * n)
                return -EINVAL;
        for (size_t i = 0; i < 2 * n; i++)
                if (hex_digit(text[i]) < 0)
                        return -EINVAL;
        for (size_t i = 0; i < n; i++)
                ret[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
        return 0;
}

int parse_signal(const char *text, int *ret)
{
        assert(text);
        assert(ret);

        if (isdigit((unsigned char)*text))
                return parse_int_range(text, 1, SIGRTMAX, ret);
        if (strncmp(text, "SIG", 3) == 0)
                text += 3;
        if (strncmp(text, "RTMIN+", 6) == 0) {
                int offset;
                int r = parse_int_range(text + 6, 0, SIGRTMAX - SIGRTMIN, &offset);
                if (r < 0)
                        return r;
                *ret = SIGRTMIN + offset;
                return 0;
        }
        for (int i = 1; i < SIGRTMIN; i++) {
                const char *name = sigabbrev_np(i);
                if (name && strcmp(name, text) == 0) {
                        *ret = i;
                        return 0;
                }
        }
        return -EINVAL;
}

const char *signal_name(int signal, char buffer[static SIGNAL_NAME_MAX])
{
        const char *name = signal > 0 && signal < SIGRTMIN ? sigabbrev_np(signal) : NULL;
        if (name)
                return name;
        if (signal >= SIGRTMIN && signal <= SIGRTMAX)
                snprintf(buffer, SIGNAL_NAME_MAX, "RTMIN+%d", signal - SIGRTMIN);
        else
                snprintf(buffer, SIGNAL_NAME_MAX, "%d", signal);
        return buffer;
}
