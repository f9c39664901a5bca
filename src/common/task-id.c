/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ids of tasks and names of subsystems and types: what they may be, and new ones.
 *
 * The check is written out by hand, byte by byte, because the launcher relies on it for path safety: no locale, no regular
 * expression, nothing to configure. What passes can be a file, a cgroup, a unit, a D-Bus object, and nothing but itself: it
 * has no dot, no slash, and does not begin with a dash. Names of records and cgroups add the attempt behind a dot, and so
 * are never those of another task. */

#include "common/task-id.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "basic/parse.h"

#define UNIQUE_CHARS 12
#define RANDOM_BITS  18

static bool is_alnum(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool name_is_valid(const char *name, size_t max)
{
        assert(name);

        if (!is_alnum(name[0]))
                return false;
        size_t n = 1;
        for (; name[n]; n++)
                if (n >= max || (!is_alnum(name[n]) && name[n] != '_' && name[n] != '-'))
                        return false;
        return true;
}

bool task_id_is_valid(const char *id)
{
        return name_is_valid(id, TASK_ID_MAX);
}

bool task_name_is_valid(const char *name)
{
        return name_is_valid(name, TASK_NAME_MAX);
}

bool task_id_ends_in(const char *id, const char *word)
{
        assert(id);
        assert(word);

        size_t n = strlen(id), digits = 0, length = strlen(word);
        while (digits < n && id[n - digits - 1] >= '0' && id[n - digits - 1] <= '9')
                digits++;
        if (digits < 1 || digits > 4 || n - digits < length + 2)
                return false;
        const char *at = id + n - digits - length;
        return at[-1] == '-' && strncmp(at, word, length) == 0;
}

bool task_id_is_reserved(const char *id)
{
        return task_id_ends_in(id, "check") || task_id_ends_in(id, "step");
}

int task_id_make(const char *subsystem, const char *task_type, usec_t realtime,
                 char ret[static TASK_ID_MAX + 1])
{
        static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
        char unique[UNIQUE_CHARS + 1];
        uint32_t random;

        assert(task_name_is_valid(subsystem));
        assert(task_name_is_valid(task_type));

        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -errno;

        uint64_t v = realtime / USEC_PER_MSEC << RANDOM_BITS | (random & ((1U << RANDOM_BITS) - 1));
        for (int i = UNIQUE_CHARS - 1; i >= 0; i--, v >>= 5)
                unique[i] = alphabet[v & 31];
        unique[UNIQUE_CHARS] = '\0';

        /* 64 + 64 + 12 characters and two underscores would not fit in 128. */
        size_t room = TASK_ID_MAX - UNIQUE_CHARS - 2;
        size_t n_subsystem = MIN(strlen(subsystem), room / 2);
        size_t n_type = MIN(strlen(task_type), room - n_subsystem);
        snprintf(ret, TASK_ID_MAX + 1, "%.*s_%.*s_%s", (int)n_subsystem, subsystem, (int)n_type, task_type,
                 unique);
        return 0;
}

char *task_attempt_name(const char *id, unsigned attempt, char ret[static TASK_ATTEMPT_NAME_SIZE])
{
        assert(task_id_is_valid(id));
        assert(attempt >= 1 && attempt <= TASK_ATTEMPT_MAX);

        snprintf(ret, TASK_ATTEMPT_NAME_SIZE, "%s.%u", id, attempt);
        return ret;
}

int task_attempt_name_parse(const char *name, char ret_id[static TASK_ID_MAX + 1], unsigned *ret_attempt)
{
        char id[TASK_ID_MAX + 1];
        int attempt;

        assert(name);
        assert(ret_attempt);

        const char *dot = strchr(name, '.');
        if (!dot || (size_t)(dot - name) > TASK_ID_MAX || dot[1] == '0')
                return -EINVAL;
        memcpy(id, name, (size_t)(dot - name));
        id[dot - name] = '\0';
        if (!task_id_is_valid(id) || parse_int_range(dot + 1, 1, TASK_ATTEMPT_MAX, &attempt) < 0)
                return -EINVAL;

        strcpy(ret_id, id);
        *ret_attempt = (unsigned)attempt;
        return 0;
}
