/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The lock of a record. Inside this folder only. */

/* Tries to take the write lock over the whole file for this open file description; fd is open for writing.
 * 1 taken, 0 somebody else has it, negative errno. */
int record_lock(int fd);

/* Would another description get the lock? 1 yes, 0 no, negative errno. Takes nothing. */
int record_lock_test(int fd);
