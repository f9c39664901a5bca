/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* varlink (https://varlink.org): JSON objects, each ended by NUL, over a Unix stream socket.
 *
 *     call   {"method": ..., "parameters"?: {...}, "oneway"?: bool, "more"?: bool}
 *     reply  {"parameters"?: {...}, "continues"?: bool, "error"?: "interface.Name"}
 *
 * Replies come in the order of the calls; calls may be pipelined. This implementation emits no other keys,
 * accepts no other keys (as systemd's), serves org.varlink.service by itself, passes file descriptors beside
 * messages (SCM_RIGHTS; indices in the parameters refer to the descriptors of that message), and bounds
 * everything that a peer controls. It is shaped so that sd-varlink (public from systemd 257) can replace it.
 *
 * Parts: varlink-frame.h (framing, both sides), varlink-server.h, varlink-client.h, varlink-idl.h (parser
 * of interface definitions; checks parameters against them). Only jansson, sd-event and basic are below. */

#define VARLINK_MESSAGE_MAX             (4U * 1024 * 1024) /* bytes without the NUL, either direction */
#define VARLINK_DEPTH_MAX               64                 /* nesting of JSON */
#define VARLINK_FDS_MAX                 16                 /* descriptors beside one message */
#define VARLINK_CONNECTIONS_MAX         1024
#define VARLINK_CONNECTIONS_PER_UID_MAX 512
#define VARLINK_BYTES_PER_UID_MAX       (64U * 1024 * 1024) /* buffers of all connections of one uid */
#define VARLINK_PIPELINE_MAX            1024 /* open calls of a connection; more are not read */
#define VARLINK_OUTPUT_MAX              (16U * 1024 * 1024) /* bytes queued for a peer that does not read */
#define VARLINK_OUTPUT_PAUSE            (1U * 1024 * 1024)  /* bytes queued: no more calls are dispatched */
#define VARLINK_STALL_USEC              (30 * UINT64_C(1000000)) /* no progress of output: disconnect */

#define VARLINK_ERROR_INTERFACE_NOT_FOUND    "org.varlink.service.InterfaceNotFound"
#define VARLINK_ERROR_METHOD_NOT_FOUND       "org.varlink.service.MethodNotFound"
#define VARLINK_ERROR_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"
#define VARLINK_ERROR_INVALID_PARAMETER      "org.varlink.service.InvalidParameter"
#define VARLINK_ERROR_PERMISSION_DENIED      "org.varlink.service.PermissionDenied"
#define VARLINK_ERROR_EXPECTED_MORE          "org.varlink.service.ExpectedMore"
