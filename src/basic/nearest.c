/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Edit distance with insertions, removals, replacements and swaps of neighbours, in half units so that a letter of
 * the wrong case costs less than a wrong letter.
 *
 * A cell of the table needs the row above and, for swaps, the one before that, so three rows are kept. Names longer
 * than NAME_MAX_LENGTH are nobody's typing mistake and are skipped, which bounds time and stack. */

#include "basic/nearest.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "basic/macro.h"

#define NAME_MAX_LENGTH 64
#define STEP            2 /* an insertion, removal, replacement or swap */

static unsigned replacement_cost(char a, char b)
{
        if (a == b)
                return 0;
        return tolower((unsigned char)a) == tolower((unsigned char)b) ? STEP / 2 : STEP;
}

static unsigned distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
        unsigned rows[3][NAME_MAX_LENGTH + 1];

        for (size_t j = 0; j <= n_b; j++)
                rows[0][j] = (unsigned)j * STEP;

        for (size_t i = 1; i <= n_a; i++) {
                unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

                row[0] = (unsigned)i * STEP;
                for (size_t j = 1; j <= n_b; j++) {
                        unsigned best = above[j - 1] + replacement_cost(a[i - 1], b[j - 1]);
                        best = MIN(best, above[j] + STEP);
                        best = MIN(best, row[j - 1] + STEP);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                best = MIN(best, before[j - 2] + STEP);
                        row[j] = best;
                }
        }
        return rows[n_a % 3][n_b];
}

void nearest_init(Nearest *n, const char *wanted)
{
        assert(n);
        assert(wanted);

        *n = (Nearest){ .wanted = wanted, .distance = UINT_MAX };
}

void nearest_offer(Nearest *n, const char *name)
{
        assert(n);
        assert(name);

        size_t n_wanted = strlen(n->wanted), n_name = strlen(name);
        if (n_wanted == 0 || n_wanted > NAME_MAX_LENGTH || n_name > NAME_MAX_LENGTH)
                return;

        unsigned d = distance(n->wanted, n_wanted, name, n_name);
        if (d < n->distance && d <= n_name * STEP / 3) {
                n->best = name;
                n->distance = d;
        }
}
