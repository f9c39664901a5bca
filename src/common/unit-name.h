/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names of this instance's units, and the cgroups that systemd gives them. Pure functions.
 *
 *     <prefix>.slice                                      all of an instance
 *     <prefix>-pool.scope                                 its pool, in that slice
 *     <prefix>-<subsystem>.slice                          tasks of backend scope
 *     <prefix>-<task>-<attempt>.scope                     one attempt, in the slice of its subsystem
 *
 * <subsystem> and <task> are escaped, so that a '-' of theirs neither nests slices nor makes two tasks one unit. */

#include <stddef.h>

#define UNIT_NAME_SIZE 256 /* as systemd's, with the NUL */

/* Escapes as systemd-escape does, for text of [A-Za-z0-9_-]. All functions return 0 or -ENAMETOOLONG. */
int unit_name_escape(const char *text, char *ret, size_t size);

int unit_slice_name(const char *prefix, const char *subsystem, char ret[static UNIT_NAME_SIZE]);
int unit_scope_name(const char *prefix, const char *task, unsigned attempt, char ret[static UNIT_NAME_SIZE]);

/* Path of a slice's cgroup below systemd's root: "a-b.slice" is "a.slice/a-b.slice". */
int unit_slice_path(const char *slice, char *ret, size_t size);
