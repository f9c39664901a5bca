/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: why a property of systemd's units is not for tasks, whoever asks. A sentence without a capital and a
 * full stop; NULL for a name about which nothing is known. Nothing is refused because it is listed here: what may be set
 * stands in the tables of property.c and common/unit-property. */
const char *property_exclusion(const char *name);
