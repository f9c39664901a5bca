/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for the end of a task, which may outlive the registry that was asked.
 *
 * A wait is without effect, so it is simply asked again on the next connection, as often as the connection breaks;
 * each break gets the whole patience. Only a broken connection is tried again: an error that the registry answers is
 * an answer. Who must not block uses reeve_send() and reeve_next() in a poll loop. */

#include "libreeve/connection.h"

#include <errno.h>

#include "common/json/json.h"

int reeve_wait(ReeveConnection *c, const char *task_id, uint64_t patience_usec, json_t **ret_task,
               ReeveError *reterr)
{
        _cleanup_json_ json_t *parameters = NULL, *reply = NULL;

        assert(c);
        assert(task_id);

        parameters = json_pack("{s:s}", "task_id", task_id);
        if (!parameters)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                       "the task id is not UTF-8");
        for (;;) {
                int r = reeve_call(c, "Wait", parameters, &reply, reterr);
                if (r >= 0)
                        break;
                if (r != -ECONNRESET || patience_usec == 0)
                        return r;
                r = reeve_reconnect(c, patience_usec, reterr);
                if (r < 0)
                        return r;
        }
        if (ret_task)
                *ret_task = json_incref(json_object_get(reply, "task"));
        return 0;
}
