/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Base64 (RFC 4648, with padding), as output travels in JSON. */

#include <stddef.h>

/* Decodes into fresh memory (caller frees; never NULL on success). -EINVAL for anything that is not base64. */
int base64_decode(const char *text, void **ret, size_t *ret_size);
