/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Resource limits in systemd's names: which file of which controller each one is, the canonical form of its value,
 * and the text that the kernel wants. The client library writes canonical values, the launcher checks them again. */

#include <stdint.h>

#include "common/cgroup/cgroup.h"

#define LIMIT_WEIGHT_MIN    1
#define LIMIT_WEIGHT_MAX    10000
#define LIMIT_WEIGHT_NORMAL 100 /* what the kernel gives a new cgroup */

/* A task's priority, 1 to 10, as a weight: the normal one is the kernel's default of 100, each step is half as much again. */
#define LIMIT_PRIORITY_MIN    1
#define LIMIT_PRIORITY_NORMAL 5
#define LIMIT_PRIORITY_MAX    10
unsigned limit_priority_weight(unsigned priority);

typedef enum LimitForm {
        LIMIT_AMOUNT, /* bytes or a count, or "infinity" */
        LIMIT_WEIGHT, /* LIMIT_WEIGHT_MIN to _MAX */
        LIMIT_QUOTA,  /* parts per ten thousand of one CPU, or "infinity" */
        LIMIT_DEVICE, /* "MAJ:MIN <amount>" */
        LIMIT_LIST,   /* "0-3,5" */
} LimitForm;

typedef struct LimitKind {
        const char *name; /* "MemoryMax" */
        CgroupController controller;
        const char *file;   /* "memory.max" */
        const char *prefix; /* of the value in the file: "default ", "rbps=" or "" */
        LimitForm form;
} LimitKind;

typedef struct LimitValue {
        uint64_t amount; /* also weight and quota; UINT64_MAX: no limit */
        char device[24]; /* "8:0", else "" */
        char list[128];  /* instead of an amount, else "" */
} LimitValue;

/* Room for limit_format(). */
#define LIMIT_TEXT_SIZE 192

/* The limits that there are, from index 0; NULL after the last one. */
const LimitKind *limit_kind(size_t index);

/* NULL if there is no limit of that name. */
const LimitKind *limit_kind_find(const char *name);

/* Reads a canonical value. -EINVAL or -ERANGE if it is none; *ret is undefined then. */
int limit_parse(const LimitKind *k, const char *text, LimitValue *ret);

/* Narrows *v to what both allow. -EINVAL if they cannot be compared: other devices, other lists. */
int limit_narrow(LimitValue *v, const LimitValue *other);

/* Writes the value as the kernel's file wants it. Returns ret. */
const char *limit_format(const LimitKind *k, const LimitValue *v, char ret[static LIMIT_TEXT_SIZE]);
