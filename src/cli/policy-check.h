/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* reeve policy check. */

#include <stddef.h>

#include "cli/json-print.h"

/* Checks files, and directories of files; returns the exit status, having said what was found. */
int policy_check(const char **paths, size_t n, JsonMode json);
