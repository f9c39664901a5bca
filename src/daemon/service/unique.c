/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tasks of which there is to be one at a time: a table from owner, subsystem and key to the open task that has it. The keys are in the
 * rows, so after a restart the table is made anew from what is open. A task gives its key up when its end is known, before that
 * is committed: whoever asks then wants another run. */

#include <errno.h>
#include <stdio.h>

#include "basic/strings.h"
#include "daemon/service/service-internal.h"

/* No name has a blank. */
static char *full_key(const TaskRow *row)
{
        return string_printf("%u %s %s", (unsigned)row->owner_uid, row->subsystem, row->unique_key);
}

Task *service_unique_find(Service *s, const TaskRow *row)
{
        assert(s);
        assert(row);

        _cleanup_free_ char *key = row->unique_key ? full_key(row) : NULL;
        return key ? hash_get(s->uniques, key) : NULL;
}

int service_unique_claim(Service *s, Task *t)
{
        assert(s);
        assert(t && t->queue && !t->queue->unique);

        if (!t->row.unique_key)
                return 0;
        _cleanup_free_ char *key = full_key(&t->row);
        int r = key ? hash_put(s->uniques, key, t) : -ENOMEM;
        if (r >= 0)
                t->queue->unique = TAKE_PTR(key);
        return r;
}

void service_unique_release(TaskQueue *q)
{
        assert(q);

        if (!q->unique)
                return;
        hash_remove(q->service->uniques, q->unique);
        free(q->unique);
        q->unique = NULL;
}
