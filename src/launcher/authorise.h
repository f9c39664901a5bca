/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who may ask for what. */

#include "common/spec/spec.h"
#include "launcher/launcher.h"

/* Checks a specification against the rules for its author, and gives the supplementary groups that the task will
 * have (valid until the next call). InvalidArgument or PermissionDenied names the field. */
int authorise(const Launcher *l, const Spec *s, uid_t author, const gid_t **ret_groups, size_t *ret_n_groups,
              ReeveError *reterr);
