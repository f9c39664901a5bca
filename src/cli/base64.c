/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A decoder only: the command line receives output, and never sends any.
 *
 * Four characters make three bytes, so the length must be a multiple of four, with one or two '=' as padding at the
 * very end. It is strict: blanks, line ends and padding elsewhere are not base64, since what comes from the registry
 * is either exactly right or something to complain about. */

#include "cli/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "basic/macro.h"

static int digit(char c)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *p = c ? strchr(digits, c) : NULL;

        return p ? (int)(p - digits) : -1;
}

int base64_decode(const char *text, void **ret, size_t *ret_size)
{
        assert(text);
        assert(ret);
        assert(ret_size);

        size_t n = strlen(text), padding = 0;
        while (padding < 2 && padding < n && text[n - 1 - padding] == '=')
                padding++;
        if (n % 4 != 0)
                return -EINVAL;

        _cleanup_free_ unsigned char *data = malloc(n / 4 * 3 + 1);
        if (!data)
                return -ENOMEM;
        size_t size = 0;
        uint32_t group = 0;
        for (size_t i = 0; i < n - padding; i++) {
                int d = digit(text[i]);
                if (d < 0)
                        return -EINVAL;
                group = group << 6 | (uint32_t)d;
                if (i % 4 > 0) /* each character but the first of four completes a byte */
                        data[size++] = (unsigned char)(group >> (2 * (3 - i % 4)));
        }
        *ret = TAKE_PTR(data);
        *ret_size = size;
        return 0;
}
