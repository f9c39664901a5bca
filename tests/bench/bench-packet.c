/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bench-packet SPAN ADDRESS PORT: sends small UDP packets as fast as it can, for so much CPU time ("1s"), and says what
 * one cost. Run as a task with and without network counters, it shows what counting costs.
 *
 * On loopback (127.0.0.1) the sink is a socket of its own, so each packet is counted twice, as sent and as received;
 * elsewhere somebody else has it. Nobody ever reads the sink: a full socket drops a packet after it was counted.
 *
 * CPU time, because on a busy machine nothing else says anything: the packet's whole way to the sink is walked by the
 * sender's own system call. */

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "basic/macro.h"
#include "basic/parse.h"
#include "basic/time.h"

#define PAYLOAD 64
#define AT_ONCE 64

static usec_t cpu_time(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return usec_from_timespec(&ts);
}

static int open_sockets(const struct sockaddr_in *to)
{
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -1;
        if (to->sin_addr.s_addr == htonl(INADDR_LOOPBACK)) {
                int sink = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* open until the process ends */
                if (sink < 0 || bind(sink, (const struct sockaddr *)to, sizeof(*to)) < 0)
                        return -1;
        }
        return connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 ? -1 : fd;
}

int main(int argc, char **argv)
{
        struct sockaddr_in to = { .sin_family = AF_INET };
        struct mmsghdr messages[AT_ONCE] = { 0 };
        static char payload[PAYLOAD];
        struct iovec data = { payload, sizeof(payload) };
        uint64_t packets = 0;
        usec_t span;
        int port;

        if (argc != 4 || parse_span(argv[1], &span) < 0 || parse_int_range(argv[3], 1, 65535, &port) < 0 ||
            inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
                fputs("bench-packet SPAN ADDRESS PORT\n", stderr);
                return 2;
        }
        to.sin_port = htons((uint16_t)port);
        for (size_t i = 0; i < AT_ONCE; i++)
                messages[i].msg_hdr = (struct msghdr){ .msg_iov = &data, .msg_iovlen = 1 };
        int fd = open_sockets(&to);
        if (fd < 0) {
                perror("bench-packet");
                return 1;
        }

        usec_t begin = cpu_time(), now = begin;
        while ((now = cpu_time()) - begin < span) {
                int n = sendmmsg(fd, messages, AT_ONCE, 0);
                if (n < 0) {
                        perror("bench-packet: sendmmsg");
                        return 1;
                }
                packets += (uint64_t)n;
        }
        double seconds = (double)(now - begin) / USEC_PER_SEC;
        printf("bench-packet packets=%llu ns=%.1f rate=%.0f\n", (unsigned long long)packets,
               seconds * 1e9 / (double)packets, (double)packets / seconds);
        return 0;
}
