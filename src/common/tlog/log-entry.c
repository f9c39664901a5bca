/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text is written by hand rather than by printf(3): whoever verifies a log writes half a million of them in a second. */

#include "common/tlog/log-entry.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"

#define NUMBER_SIZE 20 /* digits and sign of an int64_t */
#define ON_STACK    4096

/* Writes the digits from behind; returns how many. */
static size_t number_text(int64_t n, char ret[static NUMBER_SIZE])
{
        uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
        char digits[NUMBER_SIZE];
        size_t k = 0, at = 0;

        do
                digits[k++] = (char)('0' + left % 10);
        while ((left /= 10) > 0);
        if (n < 0)
                ret[at++] = '-';
        while (k > 0)
                ret[at++] = digits[--k];
        return at;
}

static size_t text_size(const char *text)
{
        return text ? strlen(text) : 1;
}

size_t log_entry_size(const LogEntry *e)
{
        char digits[NUMBER_SIZE];

        assert(e);

        return strlen(LOG_ENTRY_HEAD) + number_text(e->number, digits) + 1 +
               number_text(e->timestamp, digits) + 1 + text_size(e->action) + 1 + text_size(e->task_id) + 1 +
               text_size(e->subsystem) + 1 + text_size(e->detail) + 1;
}

static char *put_number(char *at, int64_t n)
{
        char digits[NUMBER_SIZE];
        size_t k = number_text(n, digits);

        at = mempcpy(at, digits, k);
        *at++ = '\n';
        return at;
}

static char *put_text(char *at, const char *text)
{
        at = mempcpy(at, text ?: "-", text_size(text));
        *at++ = '\n';
        return at;
}

void log_entry_write(const LogEntry *e, char *ret)
{
        assert(e);
        assert(ret);

        ret = mempcpy(ret, LOG_ENTRY_HEAD, strlen(LOG_ENTRY_HEAD));
        ret = put_number(ret, e->number);
        ret = put_number(ret, e->timestamp);
        ret = put_text(ret, e->action);
        ret = put_text(ret, e->task_id);
        ret = put_text(ret, e->subsystem);
        put_text(ret, e->detail);
}

static bool is_line(const char *text)
{
        return !text || (text[0] && !streq(text, "-") && !strchr(text, '\n'));
}

bool log_entry_is_valid(const LogEntry *e)
{
        assert(e);

        return e->action && is_line(e->action) && is_line(e->task_id) && is_line(e->subsystem) &&
               is_line(e->detail);
}

int log_entry_hash(const LogEntry *e, TlogHash *ret)
{
        _cleanup_free_ char *large = NULL;
        char small[ON_STACK], *text = small;

        assert(e);
        assert(ret);

        if (!log_entry_is_valid(e))
                return -EINVAL;
        size_t size = log_entry_size(e);
        if (size > sizeof(small)) {
                text = large = malloc(size);
                if (!large)
                        return -ENOMEM;
        }
        log_entry_write(e, text);
        tlog_leaf_hash(text, size, ret);
        return 0;
}
