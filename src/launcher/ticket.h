/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tickets: proof that this launcher saw the author of a specification, and what it said. */

#include <stdint.h>
#include <sys/types.h>

#include "basic/error.h"
#include "basic/time.h"
#include "common/launcher-protocol.h"

typedef struct Ticket {
        uint8_t serial[16];
        usec_t expiry_realtime_usec;
        uid_t uid; /* of the author */
        uint32_t attempts;
} Ticket;

typedef struct TicketKey TicketKey;

/* Reads <dir>/key, or makes it. The key lives in a page that forks and core dumps do not get. Lives as long as the
 * process. */
int ticket_key_load(int dir_fd, const TicketKey **ret, ReeveError *reterr);

/* Writes the ticket for these bytes; the serial is made here. */
int ticket_make(const TicketKey *key, uid_t uid, uint32_t attempts, usec_t now_realtime, const void *text,
                size_t size, uint8_t ret[static LAUNCHER_TICKET_SIZE], ReeveError *reterr);

/* PermissionDenied unless it is one of ours, for exactly these bytes, and has not expired. */
int ticket_check(const TicketKey *key, const uint8_t ticket[static LAUNCHER_TICKET_SIZE],
                 usec_t now_realtime, const void *text, size_t size, Ticket *ret, ReeveError *reterr);
