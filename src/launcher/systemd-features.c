/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A systemd without its BPF framework (Debian 12 builds it so) accepts properties that need it, and writes into its log
 * that they will not be in effect. A restriction that somebody asked for and that is not in force is worse than a
 * refusal, so it is asked once for what it says of itself: "+PAM ... -BPF_FRAMEWORK ...".
 *
 * The one call that the launcher waits for: only who asks for such a property causes it, and once it was answered it is
 * never repeated. A systemd that is replaced by a more capable one is noticed when the launcher starts again, as it does when
 * it is upgraded; one that lost the framework on the way is not. */

#include "launcher/systemd-features.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"
#include "basic/time.h"
#include "launcher/systemd.h"

#define PATIENCE_USEC USEC_PER_SEC

static int ask(char **ret)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;

        int r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        if ((r = sd_bus_set_address(bus, SYSTEMD_SOCKET)) < 0 ||
            (r = sd_bus_set_method_call_timeout(bus, PATIENCE_USEC)) < 0 || (r = sd_bus_start(bus)) < 0)
                return r;
        return sd_bus_get_property_string(bus, SYSTEMD_DESTINATION, SYSTEMD_OBJECT, SYSTEMD_MANAGER,
                                          "Features", NULL, ret);
}

int systemd_has_bpf_framework(void)
{
        static int known = -ENODATA;
        _cleanup_free_ char *features = NULL;

        if (known >= 0)
                return known;
        int r = ask(&features);
        if (r < 0)
                return r;
        known = strstr(features, "+BPF_FRAMEWORK") != NULL;
        return known;
}
