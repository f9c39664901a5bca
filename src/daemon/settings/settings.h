/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the administrator may change about reeved: the *.yaml files of reeved.conf.d. docs/settings.md has
 * the keys. */

#include <stdint.h>

#include "basic/error.h"
#include "basic/time.h"

typedef struct Settings {
        struct {
                usec_t min_usec, max_usec; /* between two stored snapshots of a task; min <= max */
                usec_t tick_usec;          /* between two readings while somebody watches */
        } sampling;
        struct {
                uint64_t cap_bytes; /* of one attempt's output; 0: no cap ("infinity" in the file) */
        } output;
        usec_t grace_usec; /* between TERM and KILL, unless the caller says otherwise */
        struct {
                usec_t interval_usec; /* 0: no periodic backup ("infinity" in the file) */
                uint32_t keep;
        } backup;
        struct {
                uint64_t max_bytes; /* of a file of the line log; 0: no limit ("infinity" in the file) */
                uint32_t files;     /* 0: no line log */
        } line_log;
        struct {
                uint32_t tasks_per_uid; /* that have not ended, for each owner but root */
                uint32_t connections;
        } limits;
} Settings;

extern const Settings settings_default;

/* Loads every *.yaml in `directory` in the order of their names on top of the defaults; a key in a later
 * file wins. No such directory (or no file in it) is fine: the defaults. Hidden files and other names are
 * ignored.
 *
 * On failure *ret is untouched. InvalidArgument: `field` is the key ("sampling.min", or "" for what is not
 * about one) and the text begins with "file:line:column: ". What cannot be read is Unavailable,
 * PermissionDenied or Internal by errno. */
int settings_load(const char *directory, Settings *ret, ReeveError *reterr);
