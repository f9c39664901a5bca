/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Checkpoints: what a log's keeper signs. C2SP's tlog-checkpoint in a signed note with Ed25519:
 *
 *     <origin> LF  <size> LF  <root, base64> LF  LF  "\u2014 " <origin> " " <base64 of key id and signature> LF
 *
 * The signature is over the text up to and with the third LF. The key id is the first four bytes of
 * SHA-256(name LF 0x01 public key). A public key is written as "<name>+<key id, hex>+<base64 of 0x01 and key>".
 * Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint. */

#include "basic/error.h"
#include "common/tlog/tlog.h"

#define CHECKPOINT_ORIGIN_MAX 255
#define CHECKPOINT_TEXT_MAX   1024 /* with the NUL */
#define CHECKPOINT_KEY_MAX    384  /* of a public key as text, with the NUL */

#define CHECKPOINT_PUBLIC_SIZE 32
#define CHECKPOINT_SECRET_SIZE 64

typedef struct CheckpointKey {
        char name[CHECKPOINT_ORIGIN_MAX + 1]; /* no space, no +, no control character */
        uint8_t public_key[CHECKPOINT_PUBLIC_SIZE];
} CheckpointKey;

typedef struct Checkpoint {
        char origin[CHECKPOINT_ORIGIN_MAX + 1];
        uint64_t size;
        TlogHash root;
} Checkpoint;

/* A new key pair. `secret` is libsodium's: seed and public key. */
void checkpoint_key_generate(CheckpointKey *ret, uint8_t secret[static CHECKPOINT_SECRET_SIZE]);

bool checkpoint_name_is_valid(const char *name);

/* The public key as text, and back. InvalidArgument "key" for what is none, or whose id is not that of its key. */
void checkpoint_key_format(const CheckpointKey *k, char ret[static CHECKPOINT_KEY_MAX]);
int checkpoint_key_parse(const char *text, CheckpointKey *ret, ReeveError *reterr);

/* Reads the key pair in a file, which only its owner can read; makes it with a new key of this name if there is none. The
 * file is one line in the form of C2SP's signed notes, "PRIVATE+KEY+<name>+<id>+<base64 of 0x01 and seed>". The name that
 * counts is the file's. InvalidArgument: it is no such file; PermissionDenied: others can read it. */
int checkpoint_file_open(const char *path, const char *name, CheckpointKey *ret,
                         uint8_t ret_secret[static CHECKPOINT_SECRET_SIZE], ReeveError *reterr);

/* The signed text of a checkpoint; its origin is the key's name. */
void checkpoint_sign(const Checkpoint *c, const CheckpointKey *k,
                     const uint8_t secret[static CHECKPOINT_SECRET_SIZE],
                     char ret[static CHECKPOINT_TEXT_MAX]);

/* Reads a checkpoint that this key has signed. Signatures of others beside it (witnesses) are ignored. InvalidArgument
 * "checkpoint": it is none, or another log's; PermissionDenied "checkpoint": no valid signature of this key. */
int checkpoint_open(const char *text, const CheckpointKey *k, Checkpoint *ret, ReeveError *reterr);
