/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One write(2) per line, so that lines of several processes that share a log file (O_APPEND) never mix. Nothing is
 * allocated and nothing buffered: the last line before a crash is there.
 *
 * Lines go to standard error, wherever that leads: with the priority in front where systemd has connected it to the journal
 * ($JOURNAL_STREAM), else with the program's name. Structured entries are daemon/log's. */

#include "basic/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "basic/parse.h"

#define LINE_MAX_BYTES 2048

static const char *arg_program = "reeve";
static int arg_max_level = LOG_INFO;
static bool arg_prefix_level;

static const char *const level_names[] = { "emerg",   "alert",  "crit", "err",
                                           "warning", "notice", "info", "debug" };

void log_init(const char *program)
{
        const char *level = getenv("REEVE_LOG_LEVEL");

        assert(program);

        arg_program = program;
        arg_prefix_level = getenv("JOURNAL_STREAM") != NULL;
        if (!level || parse_int_range(level, LOG_EMERG, LOG_DEBUG, &arg_max_level) >= 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(level_names); i++)
                if (strcasecmp(level, level_names[i]) == 0)
                        arg_max_level = (int)i;
}

void log_set_max_level(int level)
{
        arg_max_level = level;
}

int log_get_max_level(void)
{
        return arg_max_level;
}

static void log_line(int level, int error, const char *format, va_list ap)
{
        char line[LINE_MAX_BYTES];
        size_t n = 0;

        if (arg_prefix_level)
                n += (size_t)snprintf(line, sizeof(line), "<%d>", level);
        else
                n += (size_t)snprintf(line, sizeof(line), "%s: ", arg_program);

        int k = vsnprintf(line + n, sizeof(line) - n, format, ap);
        n = MIN(n + (size_t)MAX(k, 0), sizeof(line) - 1);
        if (error != 0) {
                k = snprintf(line + n, sizeof(line) - n, ": %s", strerrordesc_np(error) ?: "unknown error");
                n = MIN(n + (size_t)MAX(k, 0), sizeof(line) - 1);
        }
        n = MIN(n, sizeof(line) - 2);
        /* Messages quote what clients sent: no second line, no escape sequences for the terminal. */
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
                        line[i] = ' ';
        line[n++] = '\n';

        ssize_t written = write(STDERR_FILENO, line, n);
        (void)written; /* nobody is left to be told */
}

void log_full(int level, const char *format, ...)
{
        int saved = errno;
        va_list ap;

        if (level > arg_max_level)
                return;
        va_start(ap, format);
        log_line(level, 0, format, ap);
        va_end(ap);
        errno = saved;
}

int log_full_errno(int level, int error, const char *format, ...)
{
        int saved = errno;
        va_list ap;

        error = abs(error);
        if (level <= arg_max_level) {
                va_start(ap, format);
                log_line(level, error, format, ap);
                va_end(ap);
        }
        errno = saved;
        return -error;
}

int log_full_reeve_error(int level, const ReeveError *e, const char *what)
{
        assert(e);
        assert(what);

        log_full(level, "%s: %s", what, e->text);
        return reeve_error_code_to_errno(e->code);
}
