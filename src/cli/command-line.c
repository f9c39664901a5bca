/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Titles are public and command lines are not, so that a task without a title of its own is called by its command's name.
 * Ten tasks called "python3" tell their owner nothing: where the registry shows the command line to the caller, lists
 * show it in the title's place. That an author chose such a title himself makes no difference worth a field of its own.
 *
 * Quotes are those of a shell, so that a line can be pasted back. What would move the cursor of somebody's terminal is
 * shown as '?'. */

#include "cli/command-line.h"

#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"

static int append_argument(Buffer *b, const char *argument)
{
        static const char plain[] =
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%^";

        if (*argument && argument[strspn(argument, plain)] == '\0')
                return buffer_append_text(b, argument);

        int r = buffer_append_text(b, "'");
        for (const char *p = argument; r >= 0 && *p; p++)
                r = *p == '\'' ? buffer_append_text(b, "'\\''")
                               : buffer_append(b, string_has_control(p, 1) ? "?" : p, 1);
        return r < 0 ? r : buffer_append_text(b, "'");
}

/* `name`: what stands for the first argument; NULL: itself. */
static char *line_text(const json_t *argv, const char *name)
{
        _cleanup_buffer_ Buffer b = { 0 };
        const json_t *argument;
        size_t i;

        json_array_foreach((json_t *)argv, i, argument)
                if ((i > 0 && buffer_append_text(&b, " ") < 0) ||
                    append_argument(&b, i == 0 && name ? name : json_string_value(argument) ?: "?") < 0)
                        return NULL;
        return b.size > 0 ? buffer_take(&b) : strdup("");
}

char *command_line_text(const json_t *argv)
{
        return line_text(argv, NULL);
}

/* Whether the title is nothing but the last part of the command's path. */
static bool is_name_of_command(const char *title, const char *path)
{
        if (!path)
                return false;
        const char *slash = strrchr(path, '/');
        return streq(title, slash ? slash + 1 : path);
}

char *task_title_text(const TaskView *t)
{
        assert(t);

        const json_t *argv = json_object_get(t->json, "argv");
        if (is_name_of_command(t->title, json_string_value(json_array_get(argv, 0))))
                return line_text(argv, t->title);
        return strdup(t->title);
}
