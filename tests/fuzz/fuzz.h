/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every fuzz target includes and defines. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "basic/macro.h"

/* Runs one input, which is exactly `size` bytes long; returns 0. A finding is a crash: a sanitizer's, or a failed
 * assert() about what must hold for any input. Keeps nothing from one input to the next. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
