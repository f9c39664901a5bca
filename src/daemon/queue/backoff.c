/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pause before another attempt: exponential, bounded, with jitter.
 *
 * The jitter takes away up to a quarter, so that tasks which failed together do not come back together; it only shortens,
 * so that a bound that a policy names is one. Where the random number comes from is the caller's: a test has its own. The
 * doubling stops at the bound before it could overflow. */

#include "daemon/queue/backoff.h"

#include "basic/macro.h"

usec_t backoff_pause(usec_t backoff_usec, usec_t max_usec, unsigned attempt, uint32_t random)
{
        usec_t pause = MIN(backoff_usec, max_usec);

        assert(attempt >= 2);

        for (unsigned i = 2; i < attempt && pause < max_usec; i++)
                pause = pause > max_usec / 2 ? max_usec : pause * 2;
        return pause - (usec_t)((double)(pause / 4) * ((double)random / UINT32_MAX));
}
