/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of keys, for settings.c and for what compares it with the documents. */

#include "common/yaml/yaml-load.h"

/* Target: Settings. */
extern const YamlField settings_fields[];
