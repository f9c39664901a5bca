/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is there a file, and is it as it should be? */

#include "check/evidence.h"
#include "check/options.h"

/* Checks what the options ask for of o->path, relative to the working directory. */
void check_file(Evidence *e, const CheckOptions *o);
