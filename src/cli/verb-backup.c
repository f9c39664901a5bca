/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve backup: a copy of the database that is consistent while tasks go on.
 *
 * With a name the file is the caller's, made with the caller's rights where the caller may write; a file that is there
 * is never overwritten, and one that was not completed does not stay. Without a name reeved keeps the copy, in its own
 * folder. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "common/json/json.h"

typedef struct BackupOptions {
        CommonOptions common;
} BackupOptions;

static const Option backup_options[] = { COMMON_OPTIONS(BackupOptions) };

static int show(const BackupOptions *o, const char *path, int64_t bytes)
{
        char size[32];

        if (o->common.json != JSON_MODE_OFF) {
                _cleanup_json_ json_t *reply =
                                json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)bytes);
                return json_print(o->common.json, reply);
        }
        printf("%s (%s)\n", path, bytes_format((unsigned long long)bytes, size, sizeof(size)));
        return 0;
}

static int back_up_here(const BackupOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;

        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "Backup", json_object(), &reply);
        return status ?: show(o, json_get_string(reply, "path") ?: "?", json_get_integer(reply, "bytes", 0));
}

static int back_up_to(const BackupOptions *o, const char *path)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        ReeveError error = REEVE_ERROR_NULL;
        int64_t bytes;

        int status = session_connect(&c);
        if (status != 0)
                return status;
        _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                fprintf(stderr, "reeve: %s: %m\n", path);
                return EX_CANTCREAT;
        }
        if (reeve_backup(c, fd, &bytes, &error) < 0) {
                (void)unlink(path);
                return session_error(&error);
        }
        return show(o, path, bytes);
}

static int backup(const char **args, size_t n_args, const void *options)
{
        return n_args > 0 ? back_up_to(options, args[0]) : back_up_here(options);
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
