/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which running process may become a task, and at whose wish. */

#include "common/spec/spec.h"
#include "launcher/launcher.h"

/* Is it a living process of this user alone: all of its ids are his, its memory is his to read, and it is in our own pid
 * and user namespaces? Async-signal-safe. */
bool attach_is_of(int proc_fd, pid_t pid, uid_t uid);

/* Decides about the process that a specification of `author` names. On success *ret_fd is a pidfd of it (the caller's).
 * AlreadyFinished if it is gone, PermissionDenied if it may not be attached, with the reason; Unavailable if systemd does
 * not say what must be known. */
int attach_check(const Launcher *l, const Spec *s, uid_t author, int *ret_fd, ReeveError *reterr);
