/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The command is looked up where its caller is, as systemd-run does it: a name that is mistyped is an error before
 * anything is recorded. What is found here is a courtesy, not a check. The launcher executes the path as the task's
 * user, and a file that is gone or forbidden by then is its ExecFailed.
 *
 * The title and the type are made from the command's name alone: both are public on the host, and arguments, which may
 * hold a secret, are not. They are for people and statistics, so that any bytes will do as a name: what is not text is
 * shown as '?', what no type may contain becomes '-'. */

#include "libreeve/command.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/strings.h"

/* Where execvp(3) looks when PATH is not set. */
#define FALLBACK_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int check_executable(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int command_make_absolute(const char *path, char **ret, ReeveError *reterr)
{
        _cleanup_free_ char *cwd = NULL;
        _cleanup_buffer_ Buffer b = { 0 };
        int r = 0;

        assert(path);
        assert(ret);

        if (path[0] != '/') {
                cwd = getcwd(NULL, 0);
                if (!cwd)
                        return reeve_error_errno(reterr, errno, "cwd", "cannot find the current directory");
                r = buffer_append_text(&b, streq(cwd, "/") ? "" : cwd);
        }
        for (const char *p = path; r >= 0 && *p;) {
                size_t n = strcspn(p, "/");
                if (n > 0 && !(n == 1 && *p == '.')) {
                        r = buffer_append_text(&b, "/");
                        if (r >= 0)
                                r = buffer_append(&b, p, n);
                }
                p += n + (p[n] == '/');
        }
        if (r >= 0 && b.size == 0)
                r = buffer_append_text(&b, "/");
        if (r < 0 || !(*ret = buffer_take(&b)))
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot make a path absolute");
        return 0;
}

static int not_found(int r, const char *name, ReeveError *reterr)
{
        reeve_error_set(reterr, REEVE_ERROR_EXEC_FAILED, name,
                        r == -ENOENT && !strchr(name, '/') ? "command not found in PATH" : "%s",
                        strerrordesc_np(-r) ?: "cannot be executed");
        if (reterr)
                reterr->number = -r;
        return -ENOEXEC;
}

/* Sets *ret to the path if there is an executable file `name` in the directory of n bytes. */
static int try_directory(const char *directory, size_t n, const char *name, char **ret)
{
        _cleanup_free_ char *path = n == 0 ? string_printf("./%s", name)
                                           : string_printf("%.*s/%s", (int)n, directory, name);
        if (!path)
                return -ENOMEM;
        int r = check_executable(path);
        if (r < 0)
                return r;
        return command_make_absolute(path, ret, NULL);
}

int command_resolve(const char *name, char **ret, ReeveError *reterr)
{
        const char *path = getenv("PATH") ?: FALLBACK_PATH;
        int reason = -ENOENT;

        assert(name);
        assert(ret);

        if (!*name)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "argv",
                                       "the command's name is empty");
        if (strchr(name, '/')) {
                int r = check_executable(name);
                return r < 0 ? not_found(r, name, reterr) : command_make_absolute(name, ret, reterr);
        }
        for (;;) {
                size_t n = strcspn(path, ":");
                int r = try_directory(path, n, name, ret);
                if (r >= 0)
                        return 0;
                if (r != -ENOENT && r != -ENOTDIR && reason == -ENOENT)
                        reason = r;
                if (!path[n])
                        return not_found(reason, name, reterr);
                path += n + 1;
        }
}

static const char *last_part(const char *name)
{
        const char *slash = strrchr(name, '/');
        return slash && slash[1] ? slash + 1 : name;
}

void command_task_type(const char *name, char ret[static TASK_NAME_MAX + 1])
{
        assert(name);

        size_t n = 0;
        for (const unsigned char *p = (const unsigned char *)last_part(name); *p && n < TASK_NAME_MAX; p++) {
                bool good = isascii(*p) && (isalnum(*p) || *p == '_' || *p == '-');
                if (n == 0 && !(good && isalnum(*p)))
                        continue; /* a name begins with a letter or a digit */
                ret[n++] = good ? (char)*p : '-';
        }
        ret[n] = '\0';
        if (n == 0)
                strcpy(ret, "command");
}

/* Cuts at `max` without splitting a character, and replaces what is not text. */
static void make_showable(char *text, size_t max)
{
        size_t n = strlen(text);
        if (n > max) {
                n = max;
                while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
                        n--;
                text[n] = '\0';
        }
        bool valid = utf8_is_valid(text, n);
        for (char *p = text; *p; p++)
                if (string_has_control(p, 1) || (!valid && !isascii((unsigned char)*p)))
                        *p = '?';
}

char *command_title(const char *name, size_t max)
{
        assert(name);

        char *title = strdup(last_part(name));
        if (title)
                make_showable(title, max);
        return title;
}
