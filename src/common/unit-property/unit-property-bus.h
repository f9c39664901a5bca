/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Properties as systemd's StartTransientUnit and SetUnitProperties want them: entries (sv) of the array a(sv) that the
 * caller has opened. Apart from the table, because who writes specifications needs no bus. */

#include <systemd/sd-bus.h>

#include "common/unit-property/unit-property.h"

/* Appends a property of a specification, which unit_property_check() has seen. 0 or a negative errno. Entries of one
 * name add up where systemd has lists. */
int unit_property_append(sd_bus_message *m, const char *name, const char *value);

/* Appends a limit; likewise. */
int unit_property_append_limit(sd_bus_message *m, const LimitKind *k, const LimitValue *v);
