/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "launcher/keeper.h"

/* Copies the counter files of the keeper's leaf, which is empty for good, into its record. Async-signal-safe. */
void final_read(const Keeper *k);
