/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Text of src/api/io.reeve.Registry.varlink; made at build time by embed-definition.py. */
extern const char registry_varlink_definition[];
