/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve doctor: can the registry be reached, and what can this host measure and enforce?
 *
 * The first check is made here and needs no daemon: it says what is wrong with the socket, and is the one that most
 * often has something to say. The others come from reeved, which asked its launcher. A host that lacks something (a
 * controller, PSI) is not ill, and reeve works on it; so the exit status is 1 only when the registry itself does not
 * work: it cannot be reached, or its check "launcher" or "database" failed. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/strings.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/verb.h"
#include "common/json/json.h"

typedef struct DoctorOptions {
        CommonOptions common;
} DoctorOptions;

static const Option doctor_options[] = { COMMON_OPTIONS(DoctorOptions) };

static const char *const essential[] = { "registry", "launcher", "database" };

/* What to do about a socket that cannot be connected to. */
static const char *hint_for(int error, const char *path)
{
        struct stat st;

        switch (error) {
        case ENOENT:
                return getenv("REEVE_SOCKET")
                                       ? "nothing is at $REEVE_SOCKET: start that instance, or unset it"
                                       : "start reeved (systemctl start reeved), or set REEVE_SOCKET";
        case ECONNREFUSED:
                return stat(path, &st) >= 0 && !S_ISSOCK(st.st_mode)
                                       ? "this is no socket"
                                       : "the socket is left over, reeved does not run: start it";
        case EACCES:
        case EPERM:
                return "the socket should have mode 0666, and the directories above it be searchable";
        default:
                return "see reeved's log";
        }
}

static int add_check(json_t *checks, const char *name, bool ok, const char *value, const char *hint)
{
        json_t *check = json_pack("{s:s, s:b, s:s}", "name", name, "ok", ok, "value", value);
        if (!check || (hint && json_set_string(check, "hint", hint) < 0)) {
                json_decref(check);
                return -ENOMEM;
        }
        return json_array_append_new(checks, check) < 0 ? -ENOMEM : 0;
}

/* The checks of reeved, behind one about reeved itself. */
static int examine(json_t *checks)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;
        ReeveError error = REEVE_ERROR_NULL;

        int r = reeve_connect(NULL, &c, &error);
        if (r < 0)
                return add_check(checks, "registry", false, error.text, hint_for(-r, reeve_socket_path()));
        r = reeve_call(c, "Doctor", NULL, &reply, &error);
        if (r < 0)
                return add_check(checks, "registry", false, error.text, "see reeved's log");
        r = add_check(checks, "registry", true, reeve_socket_path(), NULL);
        if (r < 0)
                return r;
        return json_array_extend(checks, json_object_get(reply, "checks")) < 0 ? -EBADMSG : 0;
}

static void print_checks(const json_t *checks)
{
        const json_t *check;
        size_t i;

        json_array_foreach((json_t *)checks, i, check) {
                bool ok = json_is_true(json_object_get(check, "ok"));
                const char *hint = json_get_string(check, "hint");

                printf("%s%-7s%s %-24s %s\n", terminal_color(ok ? COLOR_GREEN : COLOR_RED),
                       ok ? "ok" : "missing", terminal_color(COLOR_RESET),
                       json_get_string(check, "name") ?: "?", json_get_string(check, "value") ?: "");
                if (!ok && hint)
                        printf("%32s %s\n", "", hint);
        }
}

static bool works(const json_t *checks)
{
        const json_t *check;
        size_t i;

        json_array_foreach((json_t *)checks, i, check) {
                const char *name = json_get_string(check, "name") ?: "";
                if (json_is_true(json_object_get(check, "ok")))
                        continue;
                for (size_t k = 0; k < ELEMENTSOF(essential); k++)
                        if (streq(name, essential[k]))
                                return false;
        }
        return true;
}

static int doctor(const char **args, size_t n_args, const void *options)
{
        const DoctorOptions *o = options;
        _cleanup_json_ json_t *checks = json_array();

        if (!checks || examine(checks) < 0) {
                fprintf(stderr, "reeve: cannot make the checks\n");
                return 1;
        }
        if (o->common.json != JSON_MODE_OFF) {
                int status = json_print(o->common.json, checks);
                if (status != 0)
                        return status;
        } else
                print_checks(checks);
        return works(checks) ? 0 : 1;
}

const Verb verb_doctor = {
        .name = "doctor",
        .synopsis = "",
        .summary = "Check what works, and what this host can measure and enforce",
        .options = OPTION_TABLE(doctor_options),
        .options_size = sizeof(DoctorOptions),
        .handler = doctor,
};
