/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the kernel's struct to the fields of an account: the one place that knows both, beside usage-parse.c, which
 * knows the text that net_format() makes.
 *
 * Loopback has fields of its own, so that net_rx_bytes and net_tx_bytes are what has crossed the host's edge: two processes
 * that talk to each other here are not "network" to who pays for it. Its packets are not even counted. */

#include "common/net/net-usage.h"

static const UsageField fields[] = {
        USAGE_NET_RX,         USAGE_NET_TX,          USAGE_NET_RX_PACKETS,
        USAGE_NET_TX_PACKETS, USAGE_NET_LOOPBACK_RX, USAGE_NET_LOOPBACK_TX,
};

void net_to_usage(Usage *u, const NetCount *c, UsageSource source)
{
        assert(u);

        for (size_t i = 0; !c && i < ELEMENTSOF(fields); i++)
                usage_clear(u, fields[i]);
        if (!c)
                return;
        usage_set(u, USAGE_NET_RX, c->rx_bytes, source);
        usage_set(u, USAGE_NET_TX, c->tx_bytes, source);
        usage_set(u, USAGE_NET_RX_PACKETS, c->rx_packets, source);
        usage_set(u, USAGE_NET_TX_PACKETS, c->tx_packets, source);
        usage_set(u, USAGE_NET_LOOPBACK_RX, c->loopback_rx_bytes, source);
        usage_set(u, USAGE_NET_LOOPBACK_TX, c->loopback_tx_bytes, source);
}
