/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: properties that only units have (common/unit-property), from what people write. */

#include "common/unit-property/unit-property.h"
#include "libreeve/request.h"

/* Adds the property to the specification. InvalidArgument with its name as field for a value that is none, PermissionDenied
 * for what only root may give. */
int unit_value_apply(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr);
