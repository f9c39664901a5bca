/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

#include "basic/time.h"

/* The pause before attempt `attempt` (at least 2): `backoff_usec` before the second, twice that before the third and so on, at most
 * `max_usec`; of that between three quarters and all, by `random`, lest what failed together comes back together. */
usec_t backoff_pause(usec_t backoff_usec, usec_t max_usec, unsigned attempt, uint32_t random);
