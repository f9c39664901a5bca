/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strict: four characters at a time, padding only at the end, nothing else between. */

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
