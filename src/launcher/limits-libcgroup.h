/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "launcher/pool.h"

/* Sets one value in an existing cgroup through libcgroup. -EOPNOTSUPP where libcgroup is not sound (a host whose
 * controllers are not all in cgroup v2; a file that takes several values); other negative errno if it fails. In
 * each case the caller writes the file itself. */
int limits_libcgroup_write(const Pool *p, const char *leaf_path, const char *controller, const char *file,
                           const char *value);
