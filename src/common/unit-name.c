/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A '-' in the name of a slice is a level of the tree: reeve-a-b.slice lies in reeve-a.slice, which systemd makes on
 * the way. A subsystem "a-b" must not end up below another one's slice, so its '-' is written \x2d, as
 * systemd-escape(1) writes it. In scopes a '-' nests nothing; there the escape keeps the names of two instances
 * apart, of which one's prefix may begin as the other's task does.
 *
 * Task ids and subsystems consist of [A-Za-z0-9_-] and begin with a letter or digit (common/task-id.h), so '-' is the
 * only character of theirs that needs it. */

#include "common/unit-name.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ESCAPED_DASH "\\x2d"

int unit_name_escape(const char *text, char *ret, size_t size)
{
        size_t n = 0;

        assert(text);
        assert(ret);

        for (; *text; text++) {
                const char *piece = *text == '-' ? ESCAPED_DASH : (const char[]){ *text, '\0' };
                size_t length = strlen(piece);

                if (n + length >= size)
                        return -ENAMETOOLONG;
                memcpy(ret + n, piece, length);
                n += length;
        }
        ret[n] = '\0';
        return 0;
}

int unit_slice_name(const char *prefix, const char *subsystem, char ret[static UNIT_NAME_SIZE])
{
        char escaped[UNIT_NAME_SIZE];

        assert(prefix);

        int r = unit_name_escape(subsystem, escaped, sizeof(escaped));
        if (r < 0)
                return r;
        int n = snprintf(ret, UNIT_NAME_SIZE, "%s-%s.slice", prefix, escaped);
        return n < 0 || n >= UNIT_NAME_SIZE ? -ENAMETOOLONG : 0;
}

int unit_scope_name(const char *prefix, const char *task, unsigned attempt, char ret[static UNIT_NAME_SIZE])
{
        char escaped[UNIT_NAME_SIZE];

        assert(prefix);

        int r = unit_name_escape(task, escaped, sizeof(escaped));
        if (r < 0)
                return r;
        int n = snprintf(ret, UNIT_NAME_SIZE, "%s-%s-%u.scope", prefix, escaped, attempt);
        return n < 0 || n >= UNIT_NAME_SIZE ? -ENAMETOOLONG : 0;
}

int unit_slice_path(const char *slice, char *ret, size_t size)
{
        size_t n = 0;

        assert(slice);
        assert(ret);

        for (const char *dash = strchr(slice, '-'); dash; dash = strchr(dash + 1, '-')) {
                int k = snprintf(ret + n, size - n, "%.*s.slice/", (int)(dash - slice), slice);

                if (k < 0 || (size_t)k >= size - n)
                        return -ENAMETOOLONG;
                n += (size_t)k;
        }
        int k = snprintf(ret + n, size - n, "%s", slice);
        return k < 0 || (size_t)k >= size - n ? -ENAMETOOLONG : 0;
}
