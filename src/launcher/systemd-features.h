/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What this host's systemd was built with. */

/* Whether it can put SocketBindAllow=, SocketBindDeny= and RestrictNetworkInterfaces= in force: 1 or 0; negative errno if PID 1
 * does not say. Asks and waits, a millisecond as a rule and a second at most, until there was an answer once. */
int systemd_has_bpf_framework(void);
