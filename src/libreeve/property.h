/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: systemd's property names, as entries of a specification. */

#include "libreeve/request.h"

/* Applies "NAME=VALUE". InvalidArgument with the property's name as field; an unknown name gets the nearest known. */
int property_apply(Request *q, const char *assignment, ReeveError *reterr);
