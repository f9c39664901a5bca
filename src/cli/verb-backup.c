/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve backup: reeved makes the copy, in its own file system, with its own rights, from its own connection to the
 * database, so that it is consistent while tasks go on.
 *
 * A relative name is one of the caller's directory. That the file does not exist yet, and that the caller may do this
 * at all, is for reeved to say. */

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/strings.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "common/json/json.h"

typedef struct BackupOptions {
        CommonOptions common;
} BackupOptions;

static const Option backup_options[] = { COMMON_OPTIONS(BackupOptions) };

/* Caller frees; NULL when it cannot be told. */
static char *make_absolute(const char *path)
{
        if (path[0] == '/')
                return strdup(path);
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        return cwd ? string_printf("%s/%s", cwd, path) : NULL;
}

static int backup(const char **args, size_t n_args, const void *options)
{
        const BackupOptions *o = options;
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ char *path = NULL;
        char size[32];

        if (n_args > 0) {
                path = make_absolute(args[0]);
                if (!path) {
                        fprintf(stderr, "reeve: cannot find the current directory\n");
                        return EX_OSERR;
                }
        }
        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "Backup", path ? json_pack("{s:s}", "path", path) : json_object(),
                                      &reply);
        if (status != 0)
                return status;
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, reply);
        printf("%s (%s)\n", json_get_string(reply, "path") ?: "?",
               bytes_format((unsigned long long)json_get_integer(reply, "bytes", 0), size, sizeof(size)));
        return 0;
}

const Verb verb_backup = {
        .name = "backup",
        .synopsis = "[FILE]",
        .summary = "Copy the registry's database, consistent, while it runs",
        .options = OPTION_TABLE(backup_options),
        .options_size = sizeof(BackupOptions),
        .max_args = 1,
        .handler = backup,
};
