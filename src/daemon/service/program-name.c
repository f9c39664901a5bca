/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of the records of checks and hooks. They are made of the task's id, so that whoever looks at the records sees whose
 * they are, and so that a daemon that comes back finds them by the same name. An id may be as long as a name can be: then it
 * is cut, and a hash of the whole sees to it that no other task has the same name. */

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "daemon/service/service-internal.h"

#define SUFFIX_MAX   12 /* "-check" and a number */
#define CUT          80
#define HASHED_BYTES 16

void service_program_name(const char *task_id, const char *word, size_t number,
                          char ret[static TASK_ID_MAX + 1])
{
        unsigned char hash[crypto_hash_sha256_BYTES];
        char digits[2 * HASHED_BYTES + 1];

        assert(task_id);
        assert(word);
        assert(number <= 9999);

        if (strlen(task_id) <= TASK_ID_MAX - SUFFIX_MAX) {
                snprintf(ret, TASK_ID_MAX + 1, "%s-%s%zu", task_id, word, number);
                return;
        }
        crypto_hash_sha256(hash, (const unsigned char *)task_id, strlen(task_id));
        sodium_bin2hex(digits, sizeof(digits), hash, HASHED_BYTES);
        snprintf(ret, TASK_ID_MAX + 1, "%.*s_%s-%s%zu", CUT, task_id, digits, word, number);
}
