/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve wait: until all of the tasks have ended; the exit status is that of the first, in the order given, that did
 * not succeed.
 *
 * One task after the other is enough: the last one decides how long it takes. A registry that is replaced meanwhile is
 * waited for, and asked again. Ctrl-C ends the wait and nothing else: these tasks are not this command's. */

#include <limits.h>
#include <stdio.h>
#include <sysexits.h>

#include "cli/follow.h"
#include "cli/progress.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "common/json/json.h"

#define PATIENCE_USEC (60 * USEC_PER_SEC)

typedef struct WaitOptions {
        CommonOptions common;
        bool quiet;
} WaitOptions;

static const Option wait_options[] = {
        { "quiet", 'q', NULL, "Print nothing", OPTION_FLAG, offsetof(WaitOptions, quiet) },
        COMMON_OPTIONS(WaitOptions),
};

static int wait_for_one(ReeveConnection *c, const char *id, const WaitOptions *o)
{
        ReeveError error = REEVE_ERROR_NULL;
        _cleanup_json_ json_t *task = NULL;

        if (reeve_wait(c, id, PATIENCE_USEC, &task, &error) < 0)
                return session_error(&error);
        return summary_report(task, o->common.json, o->quiet);
}

static int wait_for_all(const char **args, size_t n_args, const void *options)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;

        int status = session_connect(&c);
        if (status != 0)
                return status;
        for (size_t i = 0; i < n_args; i++) {
                int s = wait_for_one(c, args[i], options);
                if (status == 0)
                        status = s;
        }
        return status;
}

const Verb verb_wait = {
        .name = "wait",
        .synopsis = "ID...",
        .summary = "Wait until tasks have ended, and exit as they did",
        .options = OPTION_TABLE(wait_options),
        .options_size = sizeof(WaitOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = wait_for_all,
};
